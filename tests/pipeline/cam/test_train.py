"""Training of maps: its files, resuming, and bad input."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from qaclims_path.cli.train import app
from qaclims_path.engine.task import StepInfo
from qaclims_path.errors import BadConfig, BadFile, NotRegistered, UsageError
from qaclims_path.files.images import read_image
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.judges import load_judge
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.models.methods import build_method
from qaclims_path.pipeline.cam.options import load_options
from qaclims_path.pipeline.cam.plan import PLAN, ROWS
from qaclims_path.pipeline.cam.task import CamTask
from qaclims_path.pipeline.cam.teacher import Teacher, Words, mean_embeddings
from qaclims_path.pipeline.cam.words import check_width
from qaclims_path.types import PairTexts

NAMES = ["tumor", "stroma", "necrosis"]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_a_training_writes_its_files(train, tmp_path) -> None:
    report = train("bcss-wsss/cam", "cam.train.epochs=2")
    run = tmp_path / "run"
    assert (report.steps, report.epochs, report.over, report.judge) == (4, 2, "done", None)
    assert yaml.safe_load((run / "config.yaml").read_text())["cam"]["train"]["epochs"] == 2
    assert json.loads((run / "environment.json").read_text())["packages"]["torch"]
    network = CamNet.load(run, classes=("tumor", "stroma", "lymphocyte", "necrosis"))
    saved = load_file(run / "cam" / "weights.safetensors")
    assert all(torch.equal(value, saved[key]) for key, value in network.state_dict().items())


def test_maps_that_learnt_from_made_up_material_say_so(train, judge, tmp_path) -> None:
    toy = tmp_path / "toy"
    shutil.copytree(judge, toy)
    (toy / "judge_card.json").write_text('{"demonstration": "painted tissue"}')
    train("bcss-wsss/names", f"judge.id={toy}", "cam.init.start=none", out="toy-judge")
    train("bcss-wsss/cam", f"cam.network.weights={tmp_path / 'toy-judge'}", out="started")
    train("bcss-wsss/cam", out="real")
    found = [CamNet.load(tmp_path / name).demonstration for name in ("toy-judge", "started", "real")]
    assert found == ["a judge that knows only painted tissue", "a judge that knows only painted tissue", ""]


def test_a_finished_run_is_not_trained_again_and_other_options_are_refused(train) -> None:
    first = train("bcss-wsss/cam")
    assert train("bcss-wsss/cam").losses == first.losses
    with pytest.raises(UsageError, match=r"train\.lr was 0\.01, now 0\.5"):
        train("bcss-wsss/cam", "cam.train.lr=0.5")


@pytest.mark.parametrize("method", ["clims", "qa-clims", "qa-clims-path"])
def test_the_same_seed_gives_the_same_numbers_with_any_number_of_micro_batches(method: str, train) -> None:
    """Micro-batches are averaged like processes; images differ in their number of classes."""
    given = ["cam.train.batchnorm=frozen", "cam.train.batch=4", "cam.train.epochs=2", "cam.train.lr=1.0e-5"]
    given += ["cam.losses.ramp=[0, 0]"] if method == "qa-clims-path" else []
    whole, again, pieces = (
        train(f"bcss-wsss/{method}", *given, f"cam.train.accumulate={parts}", out=f"{out}").losses["loss"]
        for parts, out in ((1, "whole"), (1, "again"), (2, "pieces"))
    )
    assert whole == again
    assert pieces == pytest.approx(whole, rel=1e-5)


def test_methods_with_language_start_from_plain_maps(train, tmp_path) -> None:
    train("bcss-wsss/qa-clims-path", "cam.init.start=cam", "cam.init.train={epochs: 1}", "cam.train.lr=1.0e-12")
    first, then = (CamNet.load(tmp_path / name) for name in ("run/init", "run"))
    torch.testing.assert_close(first.head.weight, then.head.weight)
    train("bcss-wsss/names", f"cam.init.start={tmp_path / 'run' / 'init'}", "cam.train.lr=1.0e-12", out="again")
    torch.testing.assert_close(CamNet.load(tmp_path / "again").head.weight, first.head.weight)


def test_methods_with_language_start_from_the_released_classifier(train, tmp_path) -> None:
    train("bcss-wsss/cam", "cam.network.backbone=test_resnet", out="plain")
    plain = CamNet.load(tmp_path / "plain")
    backbone = {f"resnet50.{key}": value for key, value in plain.backbone.model.state_dict().items()}
    torch.save({**backbone, "classifier.weight": plain.head.weight.detach()}, tmp_path / "res50_cam.pth")
    given = "cam.network.backbone=test_resnet", f"cam.init.start={tmp_path / 'res50_cam.pth'}"
    train("bcss-wsss/names", *given, "cam.train.lr=1.0e-12")
    torch.testing.assert_close(CamNet.load(tmp_path / "run").head.weight, plain.head.weight)
    with pytest.raises(BadFile, match=r"res50_cam\.pth classifies 4 classes, but the data set has 3"):
        train("wsss4luad/names", *given, out="other")


@pytest.mark.parametrize("keep", [0.0, 0.25, 0.5])
def test_final_weights_are_averaged_with_the_starting_ones(keep: float, train, tmp_path) -> None:
    train("bcss-wsss/cam", out="plain")
    given = f"cam.init.start={tmp_path / 'plain'}", f"cam.init.keep={keep}"
    train("bcss-wsss/cam+", *given, out="then")
    start, end = (CamNet.load(tmp_path / name).state_dict() for name in ("plain", "then"))
    learnt = load_file(tmp_path / "then" / "cam" / "weights.safetensors")
    assert not torch.equal(learnt["head.weight"], start["head.weight"])
    for name, value in learnt.items():
        wanted = keep * start[name] + (1 - keep) * value if value.is_floating_point() else value
        torch.testing.assert_close(end[name], wanted)


def test_weights_of_plain_maps_can_be_averaged_too(train, tmp_path) -> None:
    train("bcss-wsss/cam+", "cam.init.start=cam", "cam.init.keep=0.5")
    start, end = (CamNet.load(tmp_path / name).head.weight for name in ("run/init", "run"))
    learnt = load_file(tmp_path / "run" / "cam" / "weights.safetensors")["head.weight"]
    torch.testing.assert_close(end, (start + learnt) / 2)


def test_a_training_can_stop_early_on_its_loss(train) -> None:
    given = [
        "cam.train.epochs=9",
        "cam.train.watch=loss",
        "cam.train.better=less",
        "cam.train.patience=1",
        "cam.train.schedule=constant",
    ]
    report = train("bcss-wsss/cam", *given, "cam.train.lr=1.0e-30", "cam.train.batchnorm=frozen")
    assert (report.over, report.epochs < 9) == ("early", True)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("cam.train.watch=miou", "there is no number 'miou' to watch. Known: loss"),
        ("cam.init.keep=1", r"'init\.keep': Input should be less than 1"),
        ("cam.init.train.epochz=2", "^cam.init.train: unknown key 'epochz'. Did you mean 'epochs'"),
        ("cam.init.train.epochs=many", "^cam.init.train: 'epochs'"),
        ("cam.init.train.watch=area/tumor", "there is no number 'area/tumor' to watch"),
    ],
)
def test_impossible_trainings_are_refused_when_options_are_read(setting: str, said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        load_options("bcss-wsss/qa-clims-path", [setting])


def test_pictures_and_numbers_per_class_are_logged(train, quiet, tmp_path) -> None:
    running = quiet.model_copy(update={"loggers": ("csv",)})
    report = train("bcss-wsss/qa-clims-path", "cam.losses.ramp=[0, 0]", running=running)
    [picture] = (tmp_path / "run" / "cam" / "pictures" / "maps").glob("*.png")
    assert read_image(picture).shape[1] > 160
    with (tmp_path / "run" / "cam" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("area/stroma", "background_similarity/stroma"):
        assert any(row[name] for row in rows)
        assert name in report.losses


def test_images_smaller_than_the_crop_are_padded(train) -> None:
    assert train("bcss-wsss/cam", "cam.augment.size=96").steps == 2
    assert train("voc2012/cam", "cam.augment.size=96", out="photo").steps == 2


def test_a_class_without_answers_uses_its_name(train, corpus, tmp_path) -> None:
    lines = [line for line in corpus("bcss-wsss", "train").read_text().splitlines() if '"stroma"' not in line]
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(lines) + "\n")
    for method in ("qa-clims", "qa-clims-path", "shuffled"):
        assert train(f"bcss-wsss/{method}", corpus=path, out=method).steps == 2


def test_a_corpus_of_another_data_set_is_refused(train, corpus) -> None:
    with pytest.raises(BadFile, match="class 'gland'"):
        train("bcss-wsss/qa-clims", corpus=corpus("glas", "train"))
    with pytest.raises(UsageError, match="no answer about an image of 'bcss-wsss'"):
        train("bcss-wsss/qa-clims", corpus=corpus("luad-histoseg", "train"), out="other")


def test_a_method_that_needs_answers_says_so(judge, fake, tmp_path) -> None:
    from qaclims_path.pipeline.cam.train import train_cam

    root = fake("bcss-wsss")
    with pytest.raises(UsageError, match="--corpus FILE"):
        train_cam(load_options("bcss-wsss/qa-clims", [f"judge.id={judge}"]), root, tmp_path / "a")
    with pytest.raises(UsageError, match=r"judge\.id=ID"):
        train_cam(load_options("bcss-wsss/names", ["judge.id=null"]), root, tmp_path / "b")


def test_maps_of_other_classes_are_refused_as_a_start(train, tmp_path) -> None:
    train("wsss4luad/cam", out="other")
    with pytest.raises(UsageError, match="was trained for the classes tumor, stroma, normal"):
        train("bcss-wsss/names", f"cam.init.start={tmp_path / 'other'}")


def test_own_magnification_needs_pixel_sizes(train) -> None:
    with pytest.raises(UsageError, match=r"judge does not say its pixel size.*judge\.scale=fit"):
        train("phantom/names", "judge.scale=own")


def test_mistakes_in_recipes_get_a_sentence(tmp_path) -> None:
    with pytest.raises(NotRegistered, match="Did you mean 'bcss-wsss/qa-clims'"):
        load_options("bcss-wsss/qaclims")
    with pytest.raises(BadConfig, match="Did you mean 'epochs'"):
        load_options("bcss-wsss/cam", ["cam.train.epoch=3"])
    with pytest.raises(BadConfig, match="Did you mean 'temperature'"):
        load_options("bcss-wsss/qa-clims", ["cam.losses.temprature=1"])
    with pytest.raises(NotRegistered, match="Did you mean 'qa-clims'"):
        load_options(write(tmp_path, "dataset: glas\nmethod: qa-clim\n"))
    with pytest.raises(UsageError, match="never published"):
        load_options("bcss-wsss/qa-clims-path", ["published=true"])
    with pytest.raises(BadConfig, match="no such file"):
        load_options(tmp_path / "none.yaml")


def test_a_judge_whose_texts_have_another_width_is_refused(judge) -> None:
    found = load_judge(str(judge), device="cpu")
    check_width(found)
    text = found._towers.text
    wider = FrozenJudge(replace(found._towers, text=lambda tokens: text(tokens).repeat(1, 2)), device="cpu")
    with pytest.raises(UsageError, match="regions have 8 and texts another number"):
        check_width(wider)


def make_task(judge: FrozenJudge, *, chunk: int = 64, pixels: int | None = None, glass: bool = True) -> CamTask:
    features = judge.encode_texts([*NAMES, "pink", "blue"])
    none = torch.zeros(0, dtype=torch.long)

    def find(pairs) -> dict[str, torch.Tensor]:
        labels = torch.tensor([label for _, label in pairs], dtype=torch.long)
        return {"label": labels, **dict.fromkeys(ROWS[1:], none)}

    classes = PairTexts(features, **find([("", label) for label in range(3)]))
    words = Words(find, features, classes, features[3:])
    torch.manual_seed(0)
    means = mean_embeddings(judge, words, torch.rand(4, 3, 32, 32))
    network = CamNet("mobilenetv2_035", NAMES)
    method = build_method("qa-clims-path", {"ramp": [0, 0]}, "a test")
    return CamTask(network.eval(), method, Teacher(judge, words, means=means, chunk=chunk, pixels=pixels), glass=glass)


def batch_of(images: torch.Tensor, present: list[list[int]]) -> dict:
    labels = torch.tensor(present).bool()
    names = [f"i{n}" for n in range(len(images))]
    return {"image": images, "present": labels, "known": torch.ones_like(labels), "id": names}


def step(task: CamTask, batch: dict) -> dict[str, torch.Tensor]:
    task.network.zero_grad()
    batch = {**batch, PLAN: task._teacher.planner(dict).plan(batch["id"], batch["present"])}
    found = task.step(batch, StepInfo(1, 10, 0, task.counts(batch)))
    found["loss"].backward()
    return found


def test_pairs_in_chunks_give_the_same_gradient(judge) -> None:
    found = load_judge(str(judge), device="cpu")
    batch = batch_of(torch.rand(3, 3, 64, 64), [[1, 1, 1], [1, 0, 0], [0, 1, 1]])
    results = []
    for chunk in (64, 2):
        task = make_task(found, chunk=chunk)
        results.append((step(task, batch), task.maps.head.weight.grad.clone()))
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


@pytest.mark.parametrize("pixels", [None, 40, 90])
def test_white_tiles_and_images_without_classes_give_finite_losses(judge, pixels) -> None:
    task = make_task(load_judge(str(judge), device="cpu"), pixels=pixels)
    for images, present in (
        (torch.ones(2, 3, 64, 64), [[1, 1, 0], [0, 0, 1]]),
        (torch.rand(2, 3, 64, 64), [[0, 0, 0], [0, 0, 0]]),
        (torch.rand(2, 3, 64, 64), [[0, 1, 0], [0, 0, 0]]),
    ):
        found = step(task, batch_of(images, present))
        assert all(value.isfinite().all() for value in found.values())
        assert task.maps.head.weight.grad.isfinite().all()


def test_the_command_trains(fake, tmp_path) -> None:
    settings = [
        "cam.network.backbone=mobilenetv2_035",
        "cam.network.weights=none",
        "cam.augment.size=32",
        "cam.train.batch=2",
    ]
    given = [f"--set={setting}" for setting in [*settings, "cam.train.epochs=1"]]
    common = ["--root", str(fake("bcss-wsss")), "--out", str(tmp_path / "run"), "--precision", "fp32", "--workers", "0"]
    result = CliRunner().invoke(app, ["cam", "bcss-wsss/cam", *common, *given, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == 2
    result = CliRunner().invoke(app, ["cam", "bcss-wsss/cam", *common, *given])
    assert "classification" in result.stdout
