import json

import pytest
from typer.testing import CliRunner

from qaclims_path.cli.cams import app
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.errors import UsageError
from qaclims_path.models.camnet import CamNet

CARD = load_card("voc2012")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tmp_path_factory.mktemp("cams")
    write_fake(CARD, work / "VOC2012", images=3)
    CamNet("test_resnet", CARD.names).save(work / "run" / "cam")
    (work / "run" / "config.yaml").write_text("dataset: voc2012\n")
    return work


def call(work, *options):
    arguments = [str(work / "run"), "--root", str(work / "VOC2012"), *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def test_a_table_for_people(work):
    result = call(work, "--split", "val", "--scales", "1,0.5")
    assert result.exit_code == 0, result.output
    for text in ("gate oracle", "1, 0.5, each with its mirror image", "mIoU", "on disk"):
        assert text in result.output


def test_json_for_programs(work):
    result = call(work, "--split", "val", "--scales", "1", "--classes", "all", "--out", str(work / "all"), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert (report["gate"], report["images"], report["failed"]) == ("none", 3, {})
    assert 0 <= report["scores"]["scores"]["miou"] <= 1


def test_a_failed_image_is_exit_code_three(work):
    root = work / "broken"
    write_fake(CARD, root, images=2)
    list_records(CARD, root, "val")[0].image.path.write_bytes(b"no picture")
    arguments = ["--root", str(root), "--split", "val", "--scales", "1", "--no-score", "--out", str(work / "partial")]
    result = CliRunner().invoke(app, [str(work / "run"), *arguments])
    assert result.exit_code == 3
    assert "1 images have no maps:" in result.output


def test_wrong_scales_are_a_sentence(work):
    result = call(work, "--split", "val", "--scales", "1;2")
    assert isinstance(result.exception, UsageError)
    assert "commas between them" in str(result.exception)
