"""Public functions for Python: what each command does, with plain values; `import qaclims_path` names them all.

May import the pipeline, report and what is below them; heavy libraries are imported inside functions.
"""
