"""A judge, a method and a segmenter of another package: that of docs/tutorials/your-judge.md, installed and used."""

import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qaclims_path.errors import BadConfig, NotRegistered, UsageError
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.judges import JUDGES, load_judge
from qaclims_path.models.methods import METHODS, build_method
from qaclims_path.models.methods.method import MapBatch
from qaclims_path.models.segmenters import SEGMENTERS, build_network
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec

NAMES = "colours", "quiet", "flat"
CHANNELS = (Channel("tumor", "Tumor", (255, 0, 0), 1), Channel("stroma", "Stroma", (0, 255, 0), 2))


@pytest.fixture
def installed(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the tutorial with its entry points, as pip would install it."""
    _forget()
    page = (checkout / "docs" / "tutorials" / "your-judge.md").read_text(encoding="utf-8")
    files = dict(re.findall(r'```\w+ title="colour_tools/([\w.]+)"\n(.*?)```', page, re.DOTALL))
    (tmp_path / "colour_tools.py").write_text(files["colour_tools.py"])
    project = tomllib.loads(files["pyproject.toml"])["project"]
    info = tmp_path / f"colour_tools-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = {group: [f"{name} = {it}" for name, it in each.items()] for group, each in project["entry-points"].items()}
    points = "\n".join(f"[{group}]\n" + "\n".join(lines) for group, lines in groups.items())
    (info / "entry_points.txt").write_text(points)
    assert set(groups) == {"qaclims_path.judges", "qaclims_path.methods", "qaclims_path.segmenters"}
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("colour_tools", None)
    _forget()


def _forget() -> None:
    """Forget the entries, which registries keep once they have loaded them."""
    for registry in (JUDGES, METHODS, SEGMENTERS):
        for name in NAMES:
            registry._entries.pop(name, None)


@pytest.mark.usefixtures("installed")
def test_the_judge_tells_colours_apart() -> None:
    judge = load_judge("colours:any", device="cpu")
    pink = torch.tensor([0.9, 0.6, 0.8]).view(1, 3, 1, 1).expand(1, 3, 40, 40)
    texts = judge.encode_texts(["tumor", "stroma", "lymphocyte"])
    assert (judge.encode_images(judge.prepare(pink)) @ texts.T).argmax() == 1


@pytest.mark.usefixtures("installed")
def test_the_method_has_settings_and_losses_with_gradients() -> None:
    method = build_method("quiet", {"quiet": 0.5}, "a recipe")
    assert (method.quiet, method.classification, method.needs_judge(0.5)) == (0.5, 1.0, False)
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    present = torch.tensor([[True, False, False], [True, True, True]])
    maps = method.activations(logits, present)
    found = method.map_losses(MapBatch(maps, logits.mean((2, 3)), present, images=2, pairs=4))
    quiet = maps[0, 1:].mean((1, 2)).sum() / 6  # the mean over images and classes, without those that are present
    assert found["quiet"].item() == pytest.approx(0.5 * quiet.item(), rel=1e-5)
    found["quiet"].backward()
    assert logits.grad[0, 1:].abs().min() > 0
    assert not logits.grad[0, 0].any()
    assert not logits.grad[1].any()


@pytest.mark.usefixtures("installed")
def test_the_segmenter_is_trained_saved_and_loaded_as_others(tmp_path: Path) -> None:
    spec = SegmenterSpec("flat", find_backbone("test_resnet"), CHANNELS, {"stride": 8}, 0.5, {})
    segmenter = Segmenter(spec, weights="none").train()
    logits = segmenter(torch.rand(2, 3, 40, 56))
    assert logits.shape == (2, 2, 40, 56)
    logits.square().mean().backward()
    groups = {group["name"]: group["params"] for group in segmenter.parameter_groups(0.1)}
    assert all(len(groups[name]) > 0 for name in ("encoder", "head", "biases"))
    segmenter.save_pretrained(tmp_path / "seg")
    loaded, pixels = Segmenter.from_pretrained(tmp_path / "seg"), torch.rand(1, 3, 32, 32)
    assert torch.equal(loaded(pixels), segmenter.eval()(pixels))


@pytest.mark.usefixtures("installed")
def test_wrong_names_and_settings_are_one_sentence() -> None:
    with pytest.raises(NotRegistered, match=r"no method 'quite'\. Did you mean 'quiet'"):
        build_method("quite", {}, "a recipe")
    with pytest.raises(BadConfig, match=r"a recipe: unknown key 'quit'\. Did you mean 'quiet'"):
        build_method("quiet", {"quit": 1}, "a recipe")
    with pytest.raises(NotRegistered, match=r"no segmenter 'flatt'\. Did you mean 'flat'"):
        build_network("flatt", find_backbone("test_resnet"), 2, {})
    with pytest.raises(UsageError, match=r"'flat' cannot be built .*unexpected keyword argument 'strid'"):
        build_network("flat", find_backbone("test_resnet"), 2, {"strid": 8})
