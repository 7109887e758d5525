"""Count the arrows between the rooms of a package: which room imports which, and in how many statements.

    python scripts/arrows.py [FOLDER]

A room is a folder or a module right inside FOLDER (`qaclims_path/pipeline` if not given). Imports inside functions and
type checks count, too.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PIPELINE = Path(__file__).resolve().parents[1] / "qaclims_path" / "pipeline"
Arrows = Counter[tuple[str, str]]


def arrows(folder: Path) -> Arrows:
    """Count import statements by pair of rooms, the importing room first.

    Args:
        folder: A package or a part of one.
    """
    outer = next(parent for parent in folder.parents if not (parent / "__init__.py").is_file())
    inside = ".".join(folder.relative_to(outer).parts) + "."
    found: Arrows = Counter()
    for path in sorted(folder.rglob("*.py")):
        room = path.relative_to(folder).with_suffix("").parts[0]
        for names in _statements(path):
            others = {name.removeprefix(inside).split(".")[0] for name in names if name.startswith(inside)}
            found.update((room, other) for other in others - {room})
    return found


def _statements(path: Path) -> Iterator[list[str]]:
    """The dotted names of each import statement of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield [f"{node.module}.{alias.name}" for alias in node.names]


def main() -> None:
    """Print a line for each pair of rooms, and how many there are."""
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else PIPELINE
    found = arrows(folder)
    width = max((len(room) for room, _ in found), default=0)
    for (room, other), statements in sorted(found.items()):
        print(f"{room:{width}} -> {other}: {statements}")
    print(f"{len(found)} arrows between rooms of {folder.name}, {sum(found.values())} import statements")


if __name__ == "__main__":
    main()
