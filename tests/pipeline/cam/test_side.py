"""Trainings of a network with side heads: its losses against a slow twin, runs, and what is refused before them."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from qaclims_path.compute.windows import tissue_share
from qaclims_path.data.split import open_split
from qaclims_path.engine.task import StepInfo
from qaclims_path.errors import BadConfig, UsageError
from qaclims_path.files.maps import MapReader
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.methods import build_method
from qaclims_path.models.methods.method import UNKNOWN
from qaclims_path.models.side_spec import SideSpec
from qaclims_path.pipeline.cam.checks import check_cam
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.cam.maps import make_cams
from qaclims_path.pipeline.cam.options import SideOptions, load_options
from qaclims_path.pipeline.cam.plan import PLAN, Planner
from qaclims_path.pipeline.cam.task import CamTask, Slides

NAMES = "tumor", "stroma", "necrosis"
PRESENT = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]]).bool()
ALL, PART = torch.ones_like(PRESENT), torch.tensor([[1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 0, 1]]).bool()
WEIGHTS = 0.2, 0.3, 0.5
SIDE = "cam.network={backbone: test_resnet, side: {stages: [2, 3], width: 8, gate: true, context: 5}}"


def images():
    """Noise, half of it white glass."""
    found = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    found[:, :, :, 20:] = 1.0
    return found


def one_loss(scores, known):
    """The classification loss, one label after the other."""
    sure, unsure = [], []
    for image in range(4):
        for label in range(3):
            score = scores[image, label]
            if known[image, label]:
                sure.append(F.softplus(-score if PRESENT[image, label] else score))
            else:
                unsure.append((F.softplus(score) + F.softplus(-score)) / 2)
    return sum(sure) / len(sure) + (UNKNOWN * sum(unsure) / len(unsure) if unsure else 0)


@pytest.mark.parametrize(
    ("glass", "known", "slides"), [(False, ALL, None), (True, PART, None), (True, ALL, Slides(2, 1.0))]
)
def test_the_losses_of_heads_equal_their_slow_twin(glass, known, slides):
    torch.manual_seed(0)
    network = CamNet("test_resnet", NAMES, side=SideSpec(stages=(2, 3), width=4)).eval()
    task = CamTask(network, build_method("cam", {}, "a test"), glass=glass, head_losses=WEIGHTS, slides=slides)
    ids = [str(number) for number in range(4)]
    batch = {"image": images(), "present": PRESENT, "known": known, "id": ids, PLAN: Planner(dict).plan(ids, PRESENT)}
    found = task.step(batch, StepInfo(5, 10, 0, task.counts(batch)))
    wanted = 0.0
    output = network(images())
    for weight, maps in zip(WEIGHTS, output.heads, strict=True):
        share = tissue_share(images(), tuple(maps.shape[-2:])) if glass else torch.ones(4, *maps.shape[-2:])
        scores = torch.stack([(share[i] * maps[i]).sum((1, 2)) / share[i].sum() for i in range(4)])
        if slides is None:
            wanted = wanted + weight * one_loss(scores, known)
        else:
            each = slides.losses(scores, PRESENT, images=4.0, pairs=float(PRESENT.sum()))
            wanted = wanted + weight * sum(each.values())
    torch.testing.assert_close(found["heads"], wanted.detach())
    others = [value for name, value in found.items() if name in ("classification", "slides", "absent")]
    torch.testing.assert_close(found["loss"].detach(), found["heads"] + sum(others))
    gradient = torch.autograd.grad(found["loss"], network.side_heads["2"].classify.weight, retain_graph=True)
    assert gradient[0].abs().sum()


@pytest.mark.parametrize("recipe", ["bcss-wsss/cam", "bcss-wsss/qa-clims-path", "bcss-wsss/clims"])
def test_a_run_trains_side_heads_and_makes_finer_maps(recipe, train, tmp_path, fake):
    report = train(recipe, SIDE, "judge.glass=hide")
    assert report.losses["heads"] > 0
    network = CamNet.load(tmp_path / "run")
    assert (network.side.stages, network.side.gate, network.side.context, network.stride) == ((2, 3), True, 5, 8)
    options = MapOptions(precision="fp32", scales=(1.0,), grid="cells")
    made = make_cams(tmp_path / "run", open_split("bcss-wsss", fake("bcss-wsss"), "train"), options)
    first = next(iter(MapReader(Path(made.folder))))
    assert first.scales[0].shape[-1] == -(-first.size[1] // 8)


def test_a_started_training_keeps_its_heads(train, tmp_path):
    train("bcss-wsss/cam+", SIDE, "cam.init.start=cam", "cam.init.keep=0.5", "cam.train.lr=1.0e-12")
    first, then = (CamNet.load(tmp_path / name).state_dict() for name in ("run/init", "run"))
    heads = [key for key in first if key.startswith("side_heads") and key.endswith("weight")]
    assert heads
    for key in heads:
        torch.testing.assert_close(first[key], then[key])


def test_options_without_side_heads_are_those_of_earlier_versions():
    plain, other = load_options("bcss-wsss/cam"), load_options("bcss-wsss/cam", [SIDE])
    assert "side" not in plain.tree["cam"]["network"]
    assert load_options("bcss-wsss/cam", ["cam.network.side={}"]).tree == plain.tree
    assert other.tree["cam"]["network"]["side"]["stages"] == [2, 3]
    assert other.cam.network.side.spec == SideSpec(stages=(2, 3), width=8, gate=True, context=5)


def test_losses_have_the_published_weights():
    assert SideOptions().loss_weights == ()
    assert SideOptions(stages=(2, 3)).loss_weights == pytest.approx((0.2, 0.3, 0.5))
    assert SideOptions(stages=(2,)).loss_weights == (0.5, 0.5)
    assert SideOptions(stages=(2,), losses=(0, 2)).loss_weights == (0, 2)


@pytest.mark.parametrize(
    ("side", "sentence"),
    [
        ("{stages: [2, 3], losses: [1, 1]}", "'losses' should hold 3 weights, one for each of the stages 2, 3"),
        ("{losses: [1]}", "'losses' weighs heads that are not there"),
        ("{stages: [2], fuse: [1]}", "'fuse' should hold 2 weights"),
        ("{stages: [3, 2]}", "should each be named once, shallow ones first"),
        ("{stages: 2}", "'network.side.stages'"),
        ("{gate: true}", "there is no head to gate"),
        ("{context: 4}", "has no middle"),
        ("{stage: [2]}", "unknown key 'network.side.stage'. Did you mean 'stages'"),
    ],
)
def test_impossible_settings_are_refused_with_their_origin(side, sentence):
    with pytest.raises(BadConfig, match=sentence) as refused:
        load_options("bcss-wsss/cam", [f"cam.network.side={side}"])
    assert "--set cam.network.side=" in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("cam.network.backbone=test_resnet", "cam.network.side={stages: [2, 7]}"), "has no stage 7"),
        (("cam.network.backbone=test_vit", "cam.network.side={stages: [5], gate: true}"), "is its last"),
        (("cam.network.backbone=wideresnet38", "cam.network.side={stages: [6]}"), "with stride 16.*its stride is 8"),
    ],
)
def test_stages_that_are_not_there_are_refused_before_a_training(settings, sentence):
    options = load_options("bcss-wsss/cam", [*settings, "cam.network.weights=none"])
    with pytest.raises(UsageError, match=sentence):
        check_cam(options)
