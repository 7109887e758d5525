"""Line numbers of values in a YAML file, for errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from qaclims_path.config import Tree, parse

O = TypeVar("O", bound=BaseModel)  # noqa: E741
Location = Sequence[str | int]


def parse_lines(model: type[O], tree: Tree, path: Path) -> O:
    """Validate the tree of a file; an error names the lines of all mistakes."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        return parse(model, tree, at(path, *(item["loc"] for item in error.errors())))


def at(path: Path, *locations: Location) -> str:
    """Return the path with the line numbers of some values; values in a file that it extends have no line.

    Examples:
        >>> at(Path("bank.yaml"), ["questions", 3, "text"])  # doctest: +SKIP
        'bank.yaml, line 12'
    """
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    numbers = [line_of(root, location) for location in locations]
    lines = [str(number) for number in dict.fromkeys(numbers) if number is not None]
    return f"{path}, line{'s' if len(lines) > 1 else ''} {', '.join(lines)}" if lines else str(path)


def line_of(root: yaml.Node | None, location: Location) -> int | None:
    """Line number of the value at a location, or of the innermost value around it; None if the file has neither."""
    node, line = root, None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            following = next(((key, value) for key, value in node.value if key.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            following = (node.value[part],) * 2
        else:
            following = None
        if following is None:
            break
        line, node = following[0].start_mark.line + 1, following[1]
    return line
