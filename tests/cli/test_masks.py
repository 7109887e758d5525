import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from qaclims_path.cli.app import app
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.maps import ImageMaps, MapWriter
from qaclims_path.models.camnet import CamNet

CARD = load_card("voc2012")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "VOC2012"
    write_fake(CARD, root, images=3)
    return root


@pytest.fixture
def run(tmp_path, data):
    torch.manual_seed(0)
    CamNet("test_resnet", CARD.names).save(tmp_path / "run" / "cam")
    for split in ("val", "train_aug"):
        images = []
        for record in list_records(CARD, data, split):
            height, width = record.image.pixels().shape[:2]
            maps = np.zeros((len(record.present), (height - 1) // 4 + 1, (width - 1) // 4 + 1), np.float16)
            maps[:, 5:, 5:] = 0.8
            images.append(ImageMaps(record.id, record.present, (height, width), maps))
        writer = MapWriter(tmp_path / "run" / "cams" / split, CARD.names, {"dataset": "voc2012", "gate": "oracle"})
        writer.write(0, images)
        writer.finish(1)
    return tmp_path / "run"


def qaclims(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, QaclimsError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def test_masks_are_made_and_shown(run, data):
    code, said = qaclims("masks", run, "--split", "val", "--root", data, "--band", "0.1", "0.3")
    assert code == 0
    assert "up to 0.15" in said
    assert "gate oracle" in said
    assert len(list((run / "masks" / "val" / "labels").glob("*.png"))) == 3


def test_a_report_for_programs(run, data, tmp_path):
    out = tmp_path / "out"
    options = ("--refiner", "crf", "--threshold", "0.2", "--no-score", "--json", "--threads", "2", "--out", out)
    code, said = qaclims("masks", run, "--split", "val", "--root", data, *options)
    report = json.loads(said)
    assert code == 0
    assert (report["images"], report["refiner"], report["thresholds"]) == (3, "crf", [0.2, 0.2])
    assert report["scores"] is None


def test_wrong_options_are_sentences(run, data):
    with pytest.raises(UsageError, match="threshold"):
        qaclims("masks", run, "--split", "val", "--root", data, "--threshold", "often")
    with pytest.raises(UsageError, match="Did you mean 'crf'"):
        qaclims("masks", run, "--split", "val", "--root", data, "--refiner", "crff")


def test_images_that_fail_change_the_exit_code(run, data):
    index = run / "cams" / "val" / "index.json"
    content = json.loads(index.read_text())
    content["images"].popitem()
    index.write_text(json.dumps(content))
    code, said = qaclims("masks", run, "--split", "val", "--root", data)
    assert code == 3
    assert "1 images have no masks" in said


def test_the_boundary_network_is_trained_and_used(run, data):
    few = [f"--set=masks.boundary.{each}" for each in ("train.epochs=1", "train.batch=2", "size=64", "radius=3")]
    code, said = qaclims("train", "boundary", run, "--root", data, "--split", "train_aug", "--workers", 0, *few)
    assert code == 0
    assert "in doubt" in said
    code, said = qaclims("masks", run, "--split", "val", "--root", data, "--refiner", "irn", "--no-score")
    assert code == 0
    assert "irn" in said
