"""Every speed claim, a script each: `python scripts/bench/NAME.py`."""
