"""One file per stage: options in, report out. The only place where rooms meet.

May import everything except cli.
"""
