"""Make every row of docs/results.md: `python scripts/reproduce --data DIR --out OUT`."""
