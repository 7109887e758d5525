"""Training of a small judge: its views and captions, the written folder, and its accuracy on phantom tissues."""

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file

from qaclims_path.data.augmentation import Augment
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.formats import FakeItem
from qaclims_path.data.listing import list_records, write_split
from qaclims_path.data.phantoms.tiles import phantom_tiles
from qaclims_path.data.windows import Windows, collate_windows
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.language.captions import Captioner
from qaclims_path.language.questions import load_bank
from qaclims_path.models.judges import load_judge
from qaclims_path.models.judges.small import Shape, learn_vocabulary
from qaclims_path.pipeline.judge.images import training_split
from qaclims_path.pipeline.judge.options import JudgeProbeOptions, JudgeTrainOptions
from qaclims_path.pipeline.judge.plan import PER_CLASS, Planner, make_captions, plan_views, show
from qaclims_path.pipeline.judge.probe import probe_judge
from qaclims_path.pipeline.judge.squares import Shrunk, augmentation_of
from qaclims_path.pipeline.judge.train import train_judge

QUIET = RunSettings(devices=1, accelerator="cpu", precision="fp32", workers=0, loggers=("csv",), quiet=True)
ALL = torch.ones(8, 4, dtype=torch.bool)  # known
TINY = JudgeTrainOptions(size=32, tower="test_convnext", width=16, epochs=2, batch=8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_fake(load_card("bcss-wsss"), tmp_path / "fake", images=16)
    return tmp_path / "fake"


def test_the_written_folder_is_an_ordinary_judge(root: Path, tmp_path: Path) -> None:
    card, out = load_card("bcss-wsss"), tmp_path / "judge"
    report = train_judge(card, root, out, options=TINY, running=QUIET)
    assert (report.split, report.images, report.epochs) == ("train", 16, 2)
    assert set(report.losses) >= {"loss", "matching", "naming"}
    judge = load_judge(str(out), device="cpu")
    assert judge.card.trained_on.startswith("16 images")
    assert "means nothing" in judge.card.warning
    assert judge.card.mpp == 0.5  # 64 px of 0.25 um shown as 32
    assert judge.card.input_size == 32
    texts = ["Tumor", "tumor", "an H&E stained image of fibrous stroma.", "words nobody has seen"]
    features = judge.encode_texts(texts)
    assert (features[0] == features[1]).all()
    model = open_clip.create_model(f"local-dir:{out}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{out}")(texts)
    torch.testing.assert_close(features, model.encode_text(tokens, normalize=True), atol=1e-5, rtol=0)
    assert probe_judge(judge, card, root).regions is not None


def test_the_same_seed_gives_the_same_judge_and_a_second_call_resumes(root: Path, tmp_path: Path) -> None:
    card = load_card("bcss-wsss")
    for name in ("one", "two"):
        train_judge(card, root, tmp_path / name, options=TINY, running=QUIET)
    weights = [(tmp_path / name / "open_clip_model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]
    (tmp_path / "one" / "open_clip_model.safetensors").unlink()
    train_judge(card, root, tmp_path / "one", options=TINY, running=QUIET)
    assert (tmp_path / "one" / "open_clip_model.safetensors").read_bytes() == weights[0]


def test_no_mask_is_opened(root: Path, tmp_path: Path) -> None:
    for part in ("val", "test"):
        shutil.rmtree(root / part)
    for mask in root.rglob("*mask*"):
        assert not mask.exists()
    train_judge(load_card("bcss-wsss"), root, tmp_path / "judge", options=TINY, running=QUIET)
    with pytest.raises(UsageError, match="come from masks"):
        train_judge(load_card("bcss-wsss"), root, tmp_path / "other", split="val", options=TINY, running=QUIET)
    with pytest.raises(UsageError, match="would come from masks"):
        training_split(load_card("glas"))


def test_wrong_towers_and_weights_are_refused(root: Path, tmp_path: Path) -> None:
    card = load_card("bcss-wsss")

    def train(weights: Path | None = None, **changed: object) -> None:
        options = TINY.model_copy(update=changed)
        train_judge(card, root, tmp_path / "judge", options=options, image_weights=weights, running=QUIET)

    with pytest.raises(UsageError, match="no image tower 'resnet10'"):
        train(tower="resnet10")
    with pytest.raises(UsageError, match="'mobilenetv3_small_050' cannot encode images of 32 pixels"):
        train(tower="mobilenetv3_small_050")
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BadFile, match="of the image tower's weights"):
        train(tmp_path / "other.safetensors")
    with pytest.raises(BadFile, match="cannot be read as safetensors"):
        train(root / "nothing.safetensors")
    save_file(timm.create_model("test_convnext").state_dict(), tmp_path / "right.safetensors")
    train(tmp_path / "right.safetensors")


def test_views_know_the_classes_that_they_show() -> None:
    """Every image is one number, so that a region tells whose pixels it is made of."""
    images = torch.arange(1.0, 7.0).view(6, 1, 1, 1).expand(6, 3, 16, 16)
    present = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0], [0, 1, 1]]).bool()
    views = plan_views(present, ALL[:6, :3], 16, torch.Generator().manual_seed(11))
    assert views.singles.tolist() == [0, 1, 2, 3]
    assert views.sure.tolist() == [True] * 10 + [False] * 2 + [True] * 4
    assert (views.present[:12] == present.repeat(2, 1)).all()
    for fill in ("zero", "white"):
        pixels = show(images, views, fill, torch.full((3,), 9.0 if fill == "white" else 0.0))
        assert len(pixels) == 16
        assert (pixels[:6] == images).all()
    checked = 0
    shown = show(images, views, "zero", torch.zeros(3))
    for pixels, classes, sure in zip(shown[6:], views.present[6:], views.sure[6:], strict=True):
        owner = int(pixels.max().round()) - 1
        if (
            sure and (pixels.amax() - owner - 1).abs() < 1e-3
        ):  # where a region is not vague, its own pixels are brightest
            assert (classes == present[owner]).all()
            checked += 1
    assert checked >= 3


def test_an_image_with_an_unknown_class_does_not_show_one_class_alone() -> None:
    present = torch.tensor([[1, 0], [1, 0], [0, 1]]).bool()
    known = torch.tensor([[1, 0], [1, 1], [1, 1]]).bool()
    views = plan_views(present, known, 16, torch.Generator().manual_seed(0))
    assert views.sure.tolist() == [True] * 3 + [False, True, True] + [True] * 2
    assert views.possible[:3].tolist() == [[True, True], [True, False], [False, True]]


@pytest.fixture(scope="module")
def planner() -> Planner:
    """Plans images of 16 pixels for the classes of a card."""
    card = load_card("bcss-wsss")
    captioner = Captioner(card, load_bank("histology"))
    texts = [phrase for kinds in captioner.phrases.values() for group in kinds.values() for phrase in group]
    return Planner(captioner, card.names, learn_vocabulary(texts, Shape(size=32, width=16, tower="x")), 20, 16)


def test_a_plan_names_the_pairs_that_are_known(planner: Planner) -> None:
    present = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]).bool()
    plan = planner.plan(present, ALL[:3], seed=3)
    assert len(plan.truth) == len(plan.known) == 3 + 3 + 2
    assert plan.truth.shape[1] == len(plan.tokens)
    assert plan.tokens.shape[1] <= 20
    assert not (plan.truth & ~plan.known).any()
    assert plan.named.tolist() == [0, 2, 3, 5, 6, 7]  # whole images and regions of one class, and the rests of two
    assert (plan.views.present[plan.named].float().argmax(1) == plan.label).all()
    assert plan.several.tolist() == [1]
    alone = plan.truth[:3, : 4 * PER_CLASS].reshape(3, 4, PER_CLASS)
    assert (alone.all(2) == present).all()


def test_a_plan_follows_from_labels_and_seed(planner: Planner) -> None:
    present = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)) > 0.4
    present[:, 0] = True
    one, same, other = (planner.plan(present, ALL[:5], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.tokens, same.tokens)
    assert torch.equal(one.views.blobs, same.views.blobs)
    assert not torch.equal(one.views.blobs, other.views.blobs)


def test_images_are_shrunk_to_squares_of_which_a_window_shows_enough(root: Path) -> None:
    records = list_records(load_card("bcss-wsss"), root, "train")
    source = Shrunk(records, 4, 32)
    found = source.decoded(0)
    assert found.pixels.shape == (46, 46, 3)
    assert found.present.tolist() == [c in records[0].present for c in range(4)]
    assert abs(found.pixels.mean() - records[0].image.pixels().mean()) < 2
    batch = collate_windows([Windows(source, augmentation_of(32, tissue=True))[index] for index in range(4)])
    images = Augment(augmentation_of(32, tissue=True))(batch)
    assert images.shape == (4, 3, 32, 32)
    assert 0 <= images.min() < images.max() <= 1


def test_captions_of_a_class_alone_come_first() -> None:
    card = load_card("bcss-wsss")
    captioner = Captioner(card, load_bank("histology"))
    present = torch.tensor([[True, True, False, False], [True, True, True, True]])
    made = make_captions(captioner, card.names, present, seed=3)
    assert made.classes[: 4 * PER_CLASS].sum(1).eq(1).all()
    assert made.wrong.tolist() == [False] * (4 * PER_CLASS) + [
        False,
        True,
        False,
    ]  # nothing is wrong of an image of all
    assert len(made.texts) == len(made.classes)
    assert made == made
    assert make_captions(captioner, card.names, present, seed=3).texts == made.texts


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Card, Path]:
    """Tiles of 12 painted slides to train on, and of 6 other ones."""
    card, root = load_card("phantom"), tmp_path_factory.mktemp("phantoms")

    def tiles(part: str, patients: int) -> list[FakeItem]:
        return list(phantom_tiles(7, [f"{part}{n:02d}" for n in range(patients)], 16))

    write_split(card, root, "train", tiles("A", 12))
    write_split(card, root, "val", tiles("B", 6))
    return card, root


@pytest.mark.slow
def test_a_judge_trained_on_phantoms_knows_the_tissues_of_other_slides(
    phantoms: tuple[Card, Path], tmp_path: Path
) -> None:
    card, root = phantoms
    seen = {record.patient for record in list_records(card, root, "train")}
    assert not seen & {record.patient for record in list_records(card, root, "val")}
    train_judge(card, root, tmp_path / "judge", running=QUIET)
    report = probe_judge(load_judge(str(tmp_path / "judge"), device="cpu"), card, root, JudgeProbeOptions(split="val"))
    assert report.regions is not None
    assert report.images.balanced_accuracy > 0.8
    assert report.regions.balanced_accuracy > 0.7
    assert np.mean(report.regions.auc) > 0.9
    assert json.loads((tmp_path / "judge" / "judge_card.json").read_text())["warning"]
