import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from qaclims_path.cli.datasets import app
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import BadConfig, BadFile, UsageError

HEAVY = ("torch", "monai", "skimage", "matplotlib", "numba", "scipy", "pycocotools")
NAMES = (
    "bcss", "bcss-wsss", "coco2014", "crag", "folder", "gcss", "gcss-wsss", "glas", "luad-histoseg", "phantom",
    "sicapv2", "voc2012", "wsss4luad",
)  # fmt: skip


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)


def report_of(*words, code=0):
    result = run(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def lines(text):
    return " ".join(text.split())


@pytest.fixture
def root(tmp_path):
    write_fake(load_card("bcss-wsss"), tmp_path / "bcss", images=3)
    return tmp_path / "bcss"


@pytest.fixture
def own(tmp_path):
    """A card of one's own and fake data for it."""
    path = tmp_path / "mine.yaml"
    assert run("init", "--name", "mine", "--classes", "gland,vessel", "--out", path).exit_code == 0
    assert run("fake", "--card", path, "--out", tmp_path / "mine", "--images", 2).exit_code == 0
    return path


def test_list_names_every_data_set_without_loading_anything_heavy():
    code = (
        "import sys; from qaclims_path.cli.datasets import app; app(['list'], standalone_mode=False); "
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert "loaded: []" in result.stdout
    assert all(name in result.stdout for name in NAMES)
    assert "train 23 422" in result.stdout


def test_list_as_json_and_a_broken_card_of_ones_own(tmp_path, monkeypatch):
    report = report_of("list")
    assert set(NAMES) <= {line["name"] for line in report["cards"]}
    assert report["broken"] == {}
    gcss = next(line for line in report["cards"] if line["name"] == "gcss")
    assert gcss["public"] is False
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "card.yaml").write_text("nam: x\n")
    monkeypatch.setenv("QACLIMS_DATASETS", str(tmp_path))
    assert "bad" in report_of("list", code=3)["broken"]
    result = run("list")
    assert result.exit_code == 3
    assert "The card 'bad' cannot be read" in lines(result.stdout)
    assert "bcss-wsss" in result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_show_says_all_that_a_card_holds(name):
    card, result = load_card(name), run("show", name)
    assert result.exit_code == 0
    shown = lines(result.stdout)
    for sentence in (card.title, card.licence, *card.unknown, *card.notes):
        assert "".join(sentence.split()) in "".join(shown.split())
    assert all(split in shown for split in card.splits)
    assert all(row.source in shown for row in card.published)
    assert report_of("show", name)["name"] == name


def test_show_sets_like_beside_like():
    shown = run("show", "bcss-wsss").stdout
    assert "protocol pbip, gate oracle (sees true labels)" in shown
    assert shown.index("protocol mlps") < shown.index("protocol pbip")
    assert "from mIoU" in shown


def test_show_draws_a_contact_sheet(root, tmp_path):
    png = tmp_path / "sheet.png"
    result = run("show", "bcss-wsss", "--root", root, "--png", png)
    assert result.exit_code == 0
    assert "pictures of 'val'" in result.stdout
    with Image.open(png) as sheet:
        assert sheet.format == "PNG"
    report = report_of("show", "bcss-wsss", "--root", root, "--png", png, "--split", "train")
    assert (report["split"], report["images"]) == ("train", 3)


def test_check_says_what_is_wrong_and_fails(root):
    assert report_of("check", "bcss-wsss", "--root", root)["passed"] is True
    passed = run("check", "bcss-wsss", "--root", root)
    assert passed.exit_code == 0
    assert "partial: 3 of 23 422" in passed.stdout
    assert "Nothing is wrong" in passed.stdout
    assert run("check", "bcss-wsss", "--root", root, "--complete").exit_code == 1
    image = next((root / "val" / "img").iterdir())
    image.write_text("not a picture")
    result = run("check", "bcss-wsss", "--root", root)
    assert result.exit_code == 1
    assert "Files that cannot be read (1)" in result.stdout
    assert str(image) in result.stdout  # in one piece, whatever the width
    assert report_of("check", "bcss-wsss", "--root", root, "--quick", code=1)["problems"][0]["kind"] == "unreadable"


def test_check_shows_names_with_brackets_as_they_are(root):
    image = next((root / "training").iterdir())
    image.write_text("not a picture")
    assert "[" in image.name
    assert image.name in run("check", "bcss-wsss", "--root", root).stdout


def test_stats_on_screen_as_json_and_as_csv(root, tmp_path):
    report = report_of("stats", "bcss-wsss", "--root", root, "--out", tmp_path / "stats.csv")
    assert [split["images"] for split in report["splits"]] == [3, 3, 3]
    assert (tmp_path / "stats.csv").read_text().startswith("split,class,images")
    shown = run("stats", "bcss-wsss", "--root", root).stdout
    assert "train: 3 images" in shown
    assert "Images that hold both" in shown


def test_a_card_of_ones_own_goes_everywhere_a_name_goes(own, tmp_path):
    data = tmp_path / "mine"
    assert report_of("show", "--card", own)["name"] == "mine"
    assert report_of("check", "--card", own, "--root", data)["passed"] is True
    assert report_of("stats", "--card", own, "--root", data)["dataset"] == "mine"
    assert report_of("show", "--card", own, "--root", data, "--png", tmp_path / "a.png")["split"] == "val"


def test_init_from_qupath(tmp_path):
    export = tmp_path / "a.geojson"
    export.write_text(
        json.dumps(
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [1, 2]},
                "properties": {"classification": {"name": "Tumor", "color": [200, 0, 0]}},
            }
        )
    )
    report = report_of("init", "--name", "mine", "--from-qupath", export, "--out", tmp_path / "mine.yaml")
    assert report["classes"] == ["Tumor"]
    assert load_card(tmp_path / "mine.yaml").classes[0].color == (200, 0, 0)


def test_fake_phantom(tmp_path):
    report = report_of("fake", "phantom", "--out", tmp_path / "p", "--images", 1, "--slides", 1, "--slide-size", 512)
    assert report["slides"] == 1
    assert report_of("check", "phantom", "--root", tmp_path / "p")["passed"] is True


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["show"], UsageError, "Give either NAME"),
        (["show", "glas", "--card", "x.yaml"], UsageError, "Give either NAME"),
        (["show", "glas", "--png", "x.png"], UsageError, "needs both --root"),
        (["show", "glas", "--split", "val"], UsageError, "needs both --root"),
        (["show", "--card", "nowhere.yaml"], BadConfig, "cannot be read"),
        (["show", "glass"], UsageError, "Did you mean 'glas'"),
        (["stats", "glas", "--root", "nowhere"], BadFile, "does not exist"),
    ],
)
def test_wrong_use_is_a_sentence_for_the_command_line(words, error, said):
    result = run(*words)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize("words", [["--images", 0], ["--seed", -1], ["--slides", -1], ["--slide-size", 255]])
def test_an_impossible_fake_is_refused_before_anything_is_written(tmp_path, words):
    wrong = run("fake", "phantom", "--out", tmp_path / "p", *words).exception
    assert isinstance(wrong, BadConfig)
    name = words[0][2:].replace("-", "_")
    assert f"'{name}': Input should be greater than or equal to" in str(wrong)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("command", ["list", "show", "check", "stats", "fake", "tile", "init"])
def test_every_help_ends_with_an_example(command):
    assert f"qaclims datasets {command}" in lines(run(command, "--help").stdout)


def test_real_data_on_screen(real_data):
    result = run("check", "voc2012", "--root", Path(real_data) / "voc2012")
    assert result.exit_code == 0
    assert "partial: 250 of 10 582" in result.stdout
