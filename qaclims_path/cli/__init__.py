"""The command line: each command parses its options, calls one stage, and shows its report. No logic.

`app.py` lists the commands, and imports the module of a command when it is called. Options that are the fields of an
options model come from the model (`fields.py`), others that commands share are in `options.py`. A command calls its
stage, which returns a report, and hands it to `views/console.py: show`, which prints JSON or the report's view and
sets the exit code. Stages and views are imported inside commands, so that `--help` stays fast.

May import the pipeline and whatever stages return.
"""
