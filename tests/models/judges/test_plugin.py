"""Judges of other packages: the example of docs/judges.md, installed and used."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.judges import load_judge


@pytest.fixture
def installed(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with the entry point, as pip would install it."""
    page = (checkout / "docs" / "judges.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (entry,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(code.splitlines()) <= 32
    group, name, target = re.search(r'"(.*?)"\]\n(\w+) = "(.*)"', entry).groups()
    (tmp_path / "my_judges.py").write_text(code + "\n\ndef broken(source):\n    raise RuntimeError('no weights')\n")
    info = tmp_path / "my_judges-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-judges\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\nbroken = my_judges:broken\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("my_judges", None)


@pytest.mark.usefixtures("installed")
def test_the_example_in_the_documentation_is_a_judge() -> None:
    judge = load_judge("colours:any", device="cpu")
    assert judge.card.id == "colours:any"
    texts = judge.encode_texts(["stroma, H&E.", "fat", "an image of tumor"])
    pink = torch.tensor([0.9, 0.5, 0.7]).view(1, 3, 1, 1).expand(1, 3, 40, 40)
    assert (judge.encode_images(judge.prepare(pink)) @ texts.T).argmax() == 0
    maps = torch.rand(2, 4, 4, requires_grad=True)
    regions = judge.encode_regions(judge.prepare(torch.rand(1, 3, 40, 40)), maps, torch.zeros(2, dtype=torch.long))
    regions[:, 0].sum().backward()
    assert maps.grad.abs().sum() > 0
    with pytest.raises(UsageError, match="has no revisions"):
        load_judge("colours:any", revision="main")


@pytest.mark.usefixtures("installed")
def test_an_error_in_a_plug_in_names_its_judge() -> None:
    with pytest.raises(BadFile, match="broken:x cannot be loaded as a judge of the family broken: no weights"):
        load_judge("broken:x")


@pytest.mark.usefixtures("installed")
def test_a_plug_in_is_among_the_suggestions() -> None:
    with pytest.raises(UsageError, match="Did you mean 'colours'"):
        load_judge("colors:any")
