"""Check of this machine for `qaclims doctor`. May import assets, files, compute and engine."""
