"""Start `scripts/reproduce`; see `command.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a folder that is started is not a package

from reproduce.command import main

if __name__ == "__main__":
    sys.exit(main())
