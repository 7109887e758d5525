"""The boundary network: confident labels from maps, its training, and masks after the random walk."""

import numpy as np
import pytest
import torch

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.split import open_split
from qaclims_path.engine.settings import RunSettings, TrainOptions
from qaclims_path.errors import BadConfig, UsageError
from qaclims_path.files.images import read_mask
from qaclims_path.files.maps import ImageMaps, MapWriter
from qaclims_path.models.boundary import BoundaryNet
from qaclims_path.models.camnet import CamNet
from qaclims_path.pipeline.masks.boundary import train_boundary
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import BoundaryOptions, MaskOptions

QUIET = RunSettings(devices=1, precision="fp32", workers=0, loggers=("csv",), quiet=True)
SHORT = TrainOptions(epochs=2, batch=2, lr=0.1)


def write_run(run, card, root, split):
    """A network with random weights, and maps that say left is the first class present, right the last."""
    torch.manual_seed(0)
    CamNet("test_resnet", card.names, dilated=False).save(run / "cam")
    images = []
    for record in list_records(card, root, split):
        height, width = record.image.pixels().shape[:2]
        maps = np.full((len(record.present), (height - 1) // 4 + 1, (width - 1) // 4 + 1), 0.02, np.float16)
        middle = maps.shape[2] // 2
        maps[0, :, : middle - 3], maps[-1, 4:-4, middle + 3 : -4] = 0.9, 0.8
        images.append(ImageMaps(record.id, record.present, (height, width), maps))
    writer = MapWriter(run / "cams" / split, card.names, {"dataset": card.name, "split": split, "gate": "oracle"})
    writer.write(0, images)
    writer.finish(1)
    return run


@pytest.mark.parametrize(("name", "split"), [("voc2012", "train_aug"), ("bcss-wsss", "train")])
def test_a_network_is_trained_and_used(tmp_path, name, split):
    card = load_card(name)
    write_fake(card, tmp_path / "data", images=4)
    run = write_run(tmp_path / "run", card, tmp_path / "data", split)
    options = BoundaryOptions(split=split, size=64, zoom=(1, 1), radius=4, crf="photo", train=SHORT)
    report = train_boundary(run, open_split(card, tmp_path / "data", options.split), options, running=QUIET)
    assert (report.dataset, report.images, report.steps) == (name, 4, 4)
    assert 0 <= report.ignored < 1
    assert {"loss", "foreground", "different"} <= set(report.losses)
    trained, source = BoundaryNet.load(run / "boundary"), CamNet.load(run)
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(trained.backbone.state_dict()[key], value), key
    masks = make_masks(run, open_split(card, tmp_path / "data", split), MaskOptions(refiner="irn"))
    assert masks.images == 4
    assert masks.thresholds == ((0.2, 0.2) if name == "voc2012" else None)
    with torch.no_grad():
        next(trained.parameters()).add_(0.1)
    trained.save(run / "boundary")
    with pytest.raises(UsageError, match="made with other options: boundary network was"):
        make_masks(run, open_split(card, tmp_path / "data", split), MaskOptions(refiner="irn"))


def test_labels_are_made_with_two_thresholds(tmp_path):
    card = load_card("voc2012")
    write_fake(card, tmp_path / "data", images=3)
    run = write_run(tmp_path / "run", card, tmp_path / "data", "train_aug")
    options = BoundaryOptions(split="train_aug", size=64, radius=4, train=SHORT)
    train_boundary(run, open_split(card, tmp_path / "data", options.split), options, running=QUIET)
    assert list((run / "boundary" / "labels" / "training").glob("*.png"))
    for path in (run / "boundary" / "labels" / "training").glob("*.png"):
        record = next(r for r in list_records(card, tmp_path / "data", "train_aug") if r.id == path.stem)
        assert set(np.unique(read_mask(path))) <= {0, 255, *(label + 1 for label in record.present)}


def test_only_the_loss_can_stop_a_training_early():
    assert BoundaryOptions(train=TrainOptions(watch="loss", better="less", patience=2)).train.patience == 2
    with pytest.raises(BadConfig, match="there is no number 'miou' to watch"):
        BoundaryOptions(train=TrainOptions(watch="miou"))


def test_a_finished_training_is_not_done_again(tmp_path):
    card = load_card("bcss-wsss")
    write_fake(card, tmp_path / "data", images=3)
    run = write_run(tmp_path / "run", card, tmp_path / "data", "train")
    options = BoundaryOptions(size=64, radius=3, train=SHORT)
    first = train_boundary(run, open_split(card, tmp_path / "data", options.split), options, running=QUIET)
    before = (run / "boundary" / "boundary.safetensors").read_bytes()
    again = train_boundary(run, open_split(card, tmp_path / "data", options.split), options, running=QUIET)
    assert (again.steps, again.losses) == (first.steps, first.losses)
    assert (run / "boundary" / "boundary.safetensors").read_bytes() == before
    other = options.model_copy(update={"train": SHORT.model_copy(update={"lr": 0.2})})
    with pytest.raises(UsageError, match="lr"):
        train_boundary(run, open_split(card, tmp_path / "data", other.split), other, running=QUIET)
