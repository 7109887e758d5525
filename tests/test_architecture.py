"""Rules of the layout: import arrows, data-only folders, light imports, no unsafe readers."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "qaclims_path"
ROOT = PACKAGE.parent
LAYERS = [
    {"__main__"},
    {"cli", "api"},
    {"pipeline"},
    {"report", "engine"},
    {"language", "models", "data"},
    {"slides"},
    {"compute", "files"},
    {"config"},
    {"assets", "registry"},
    {"types"},
    {"errors", "version", "recipes"},  # `recipes` only says where the former package went
]
PIPELINE = [
    {"demo"},
    {"run"},
    {"segmenter"},
    {"masks", "cam"},
    {"corpus", "tiling", "inference", "evaluation", "configs"},
]
APART = {"datasets", "judge", "answerer", "doctor"}  # rooms of the pipeline without an arrow in or out
HEAVY = {
    "torch",
    "monai",
    "torchvision",
    "transformers",
    "open_clip",
    "timm",
    "skimage",
    "matplotlib",
    "numba",
    "scipy",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(dotted: str) -> str | None:
    parts = dotted.split(".")
    return parts[1] if parts[0] == "qaclims_path" and len(parts) > 1 else None


def imported(path: Path) -> set[str]:
    """Every dotted name a file imports, inside functions and type checks too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def depth(room: str, layers: list[set[str]] = LAYERS) -> int:
    return next(i for i, layer in enumerate(layers) if room in layer)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_left_to_right_only(path: Path) -> None:
    relative = path.relative_to(PACKAGE).with_suffix("")
    room = relative.parts[0]
    if room == "__init__":  # the package itself names everything, lazily
        return
    assert not any(is_face(name) for name in imported(path)), f"{relative} imports a public name of the package"
    for name in imported(path):
        other = room_of(name)
        if other and other != room and any(other in layer for layer in LAYERS):
            assert depth(room) < depth(other), f"{relative} imports {name}: {room} may not import {other}"


def is_face(name: str) -> bool:
    """Whether a dotted name is one that the package hands on, instead of a room or what is in it."""
    room = room_of(name)
    return name == "qaclims_path" or (room is not None and not any(room in layer for layer in LAYERS))


def test_imports_run_one_way_inside_the_pipeline(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(checkout / "scripts")
    from arrows import arrows

    found = arrows(PACKAGE / "pipeline")
    assert len(found) <= 16
    for room, other in found:
        assert not {room, other} & APART, f"{room} imports {other}, but stands apart"
        assert depth(room, PIPELINE) < depth(other, PIPELINE), f"pipeline/{room} may not import pipeline/{other}"


def test_every_room_of_the_pipeline_has_its_layer() -> None:
    rooms = {path.stem for path in (PACKAGE / "pipeline").iterdir() if not path.stem.startswith("_")}
    assert rooms == APART.union(*PIPELINE)


def test_every_room_has_a_layer() -> None:
    rooms = {p.stem for p in PACKAGE.iterdir() if (p.suffix == ".py" or p.is_dir()) and not p.stem.startswith("_")}
    known = {room for layer in LAYERS for room in layer}
    assert {room for room in rooms if room != "py"} <= known


def test_relative_imports_are_not_used() -> None:
    for path in modules():
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        assert not [n for n in nodes if isinstance(n, ast.ImportFrom) and n.level], f"{path} imports relatively"


def test_every_room_says_what_it_is_for_and_may_import() -> None:
    for folder in sorted({path.parent for path in modules()} - {PACKAGE}):
        doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert doc, f"{folder} has no docstring"
        if folder.parent == PACKAGE:
            assert "ay import" in doc, f"{folder.name}/__init__.py does not say what it may import"


def test_examples_have_the_heading_that_the_pages_know() -> None:
    for path in modules():
        assert not re.search(r"^ *Example:$", path.read_text(encoding="utf-8"), re.MULTILINE), path


@pytest.mark.parametrize("folder", ["datasets", "configs"])
def test_data_folders_hold_no_code(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert not list((ROOT / folder).rglob("*.py"))
    assert not (ROOT / "conftest.py").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


def loaded_after(code: str) -> set[str]:
    """Top-level names of all modules that a fresh interpreter has loaded after running some code."""
    show = f"{code}; import sys; print(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    result = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.split())


def test_importing_the_package_loads_nothing_else() -> None:
    assert not loaded_after("import qaclims_path") & (HEAVY | {"numpy", "pydantic", "typer", "yaml", "rich"})


def test_starting_the_command_loads_nothing_heavy() -> None:
    assert not loaded_after("import qaclims_path.cli.app") & (HEAVY | {"numpy", "pydantic", "yaml"})


def test_listing_data_sets_loads_nothing_heavy() -> None:
    code = "from typer.testing import CliRunner; from qaclims_path.cli.app import app;"
    code += "r = CliRunner().invoke(app, ['datasets', 'list', '--json']); assert r.exit_code == 0"
    assert not loaded_after(code) & HEAVY


def test_transformers_import_beside_the_datasets_folder() -> None:
    """From the root, `datasets/` looks like a library to transformers; the pieces we use must not mind."""
    code = "import qaclims_path; from transformers import CLIPModel, BlipForQuestionAnswering; print('fine')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.stdout.strip() == "fine", result.stderr


UNSAFE = re.compile(r"allow_pickle=True|weights_only=False|shell=True|pickle\.loads?\(|yaml\.(unsafe_load|full_load)")


def test_nothing_in_the_package_unpickles_or_starts_a_shell() -> None:
    writing = PACKAGE / "data" / "formats" / "voc.py"  # writes the published label file, which is a pickled array
    for path in modules():
        found = UNSAFE.search(path.read_text(encoding="utf-8"))
        assert not found or (path == writing and found[0] == "allow_pickle=True"), f"{path}: {found}"


OURS = {"Segmenter"}  # whose `from_pretrained` knows no code but this package's


def test_no_model_of_a_library_is_loaded_with_code_of_its_own() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if getattr(called, "attr", "") == "from_pretrained" and ast.unparse(called.value) not in OURS:
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert given.get("trust_remote_code") == "False", f"{path}:{node.lineno}"
