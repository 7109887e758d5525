"""The command line: parse, call one recipe, show its result. No logic.

May import recipes and whatever recipes return. Heavy imports live inside the commands.
"""
