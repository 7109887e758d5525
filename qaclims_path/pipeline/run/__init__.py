"""Run all stages of a recipe, report on them, and compare runs."""
