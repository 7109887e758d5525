"""The wheel carries cards and configurations and works outside the checkout; the source archive is complete."""

import json
import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest


def run(*command: object, cwd: Path) -> str:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # where the checkout may be
    words = [str(c) for c in command]
    result = subprocess.run(words, cwd=cwd, env=own, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    """A clean environment with the wheel in it and this environment's libraries behind it."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=checkout)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    site = next((folder / "venv" / "lib").glob("python3*")) / "site-packages"
    # the libraries are found behind the wheel; the editable install's own .pth there is not processed
    theirs = [path for path in sys.path if path.endswith("site-packages")]
    (site / "beside.pth").write_text("\n".join(theirs) + "\n")
    wheel = next(folder.glob("*.whl"))
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel, cwd=folder)
    return folder


def test_the_source_archive_holds_all_that_is_needed_to_build_test_and_cite(tmp_path: Path, checkout: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=checkout)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = {"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "pyproject.toml"}
    assert files <= names
    for folder in ("qaclims_path", "datasets", "configs", "docs", "scripts", "tests"):
        assert any(name.startswith(f"{folder}/") for name in names)


def test_the_wheel_lists_every_data_set_outside_the_checkout(installed: Path, checkout: Path) -> None:
    listed = json.loads(run(installed / "venv" / "bin" / "qaclims", "datasets", "list", "--json", cwd=installed))
    names = {entry["name"] for entry in listed["cards"]}
    assert names == {path.parent.name for path in (checkout / "datasets").glob("*/card.yaml")}


def test_the_wheel_is_what_is_imported(installed: Path) -> None:
    code = "import qaclims_path, qaclims_path.assets as a; print(qaclims_path.__file__, a.asset_dir('configs'))"
    file, configs = run(installed / "venv" / "bin" / "python", "-c", code, cwd=installed).split()
    assert str(installed) in file
    assert "_assets" in configs
    assert list(Path(configs).glob("protocols/*.yaml"))


def test_the_wheel_carries_the_embedded_models(installed: Path) -> None:
    code = "from qaclims_path.assets import embedded_model as m; print(m('judge'), m('answerer'))"
    for folder in map(Path, run(installed / "venv" / "bin" / "python", "-c", code, cwd=installed).split()):
        assert str(installed) in str(folder)
        assert all(path.stat().st_mode & 0o044 for path in folder.iterdir())  # everybody can read them


def test_the_wheel_has_the_version_of_the_package(installed: Path) -> None:
    code = "from importlib.metadata import version; import qaclims_path; "
    code += "print(version('qaclims-path'), qaclims_path.__version__)"
    built, imported = run(installed / "venv" / "bin" / "python", "-c", code, cwd=installed).split()
    assert built == imported
