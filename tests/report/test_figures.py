"""Figures of a run for a paper: valid files with searchable names, and equal files for equal input."""

import json
import re
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from qaclims_path.cli.app import app
from qaclims_path.data.cards import load_card
from qaclims_path.pipeline.run.report import write_run_report
from qaclims_path.report.example_figure import Pictured, example_figure
from qaclims_path.report.figures import comparable, score_figure, table_figure, write_figures
from qaclims_path.report.run.evaluations import read_evaluations
from qaclims_path.report.run.scored import scored

CLASSES = ("Tumor", "Stroma", "Lymphocytes", "Necrosis")
WIDTH = 8.5 / 2.54 * 300  # pixels of a column


def text_of(path):
    """All text of a PDF, without blanks: strings of one or two bytes per letter between `BT` and `ET`."""
    content = path.read_bytes()
    streams = [zlib.decompress(each) for each in re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", content, re.DOTALL)]
    strings = re.findall(rb"\(((?:[^()\\]|\\.)*)\)", b"".join(each for each in streams if b"BT" in each))
    return b"".join(strings).replace(b"\0", b"").replace(b"\\", b"").replace(b" ", b"").decode("latin-1")


@pytest.fixture(scope="module")
def drawn(made_run, tmp_path_factory):
    """A run with its figures, and the folder of its data."""
    run, root = made_run
    copy = tmp_path_factory.mktemp("figures") / "run"
    shutil.copytree(run, copy)
    return copy, root, write_run_report(copy, root, figures=True)


def test_every_figure_is_a_pdf_and_a_png_one_column_wide(drawn):
    run, _, made = drawn
    stems = {"curves", "examples", "scores-val-tpro-none", "scores-val-tpro-oracle"}
    stems |= {"table-val-tpro-none", "table-val-tpro-oracle"}
    assert {path.name for path in (run / "figures").iterdir()} == {
        f"{s}.{kind}" for s in stems for kind in ("pdf", "png")
    }
    assert sorted(made.figures) == sorted(str(path) for path in (run / "figures").iterdir())
    for stem in stems:
        content = (run / "figures" / f"{stem}.pdf").read_bytes()
        assert content.startswith(b"%PDF-")
        assert content.rstrip().endswith(b"%%EOF")
        assert b"/FontFile2" in content  # embedded TrueType
        assert b"/Type3" not in content
        with Image.open(run / "figures" / f"{stem}.png") as picture:
            picture.load()
            assert picture.width == pytest.approx(WIDTH, abs=1)
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
            assert np.asarray(picture.convert("L")).std() > 10


@pytest.mark.parametrize("name", ["scores-val-tpro-oracle", "table-val-tpro-oracle", "examples"])
def test_class_names_can_be_searched_in_the_pdf(drawn, name):
    run, _, _ = drawn
    text = text_of(run / "figures" / f"{name}.pdf")
    assert all(title in text for title in CLASSES)


def test_figures_name_stages_protocol_and_gate(drawn):
    run, _, _ = drawn
    text = text_of(run / "figures" / "table-val-tpro-oracle.pdf")
    assert "Activationmaps" in text
    assert "Pseudomasks" in text
    assert "Segmenter" not in text  # it was scored under another gate
    assert "tissue-demo,val,protocoltpro,gateoracle" in text
    assert all(word in text_of(run / "figures" / "examples.pdf") for word in ("Truth", "Prediction", "Best", "Worst"))
    assert all(word in text_of(run / "figures" / "curves.pdf") for word in ("Activationmaps", "Segmenter", "loss"))


def test_the_table_holds_the_scores_of_the_run(drawn):
    run, _, _ = drawn
    text = text_of(run / "figures" / "table-val-tpro-none.pdf")
    [entry] = [each for each in json.loads((run / "metrics.json").read_text()) if each["gate"] == "none"]
    assert f"{100 * entry['scores']['miou']:.1f}" in text
    assert all(f"{100 * row['dice']:.1f}" in text for row in entry["per_class"].values())


def test_a_second_call_writes_the_same_bytes_and_removes_what_is_no_longer_drawn(drawn):
    run, root, made = drawn
    before = {path.name: path.read_bytes() for path in (run / "figures").iterdir()}
    (run / "figures" / "scores-test-old-none.pdf").write_bytes(b"%PDF-")
    (run / "figures" / "mine.pdf").write_bytes(b"%PDF-")
    again = write_run_report(run, root, figures=True)
    assert again.figures == made.figures
    assert {path.name: path.read_bytes() for path in (run / "figures").iterdir()} == before | {"mine.pdf": b"%PDF-"}
    (run / "figures" / "mine.pdf").unlink()


def test_a_run_without_scores_says_so(made_run, tmp_path):
    run, _ = made_run
    (tmp_path / "run").mkdir()
    shutil.copy(run / "config.yaml", tmp_path / "run")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "run"), "--figures"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "without scores: Nothing was scored yet; `qaclims evaluate` does it." in said
    assert "without figures: There are no scores, trainings or masks to draw yet." in said
    assert not (tmp_path / "run" / "figures").exists()


def test_the_command_tells_where_figures_are_and_loads_matplotlib_for_them_only(made_run, tmp_path):
    run, _ = made_run
    shutil.copytree(run, tmp_path / "run")
    show = "import sys; from typer.testing import CliRunner; from qaclims_path.cli.app import app; "
    show += f"r = CliRunner().invoke(app, ['report', {str(tmp_path / 'run')!r}, *sys.argv[1:]]); "
    show += "print(r.output); print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    for words, loaded in (((), "False False"), (("--figures",), "True False")):
        found = subprocess.run([sys.executable, "-c", show, *words], capture_output=True, text=True, check=True)
        assert found.stdout.strip().endswith(loaded)
        assert ("files were written to" in " ".join(found.stdout.split())) == bool(words)


def test_names_that_no_font_has_or_that_look_like_formulas_are_drawn(drawn, tmp_path):
    run, _, _ = drawn
    one = scored(read_evaluations(run)[0].report, load_card("phantom"))
    names = ("gland $x^2", "腺体", "a_very_long_name_without_any_blank_in_it", "two words and two words and two words")
    classes = tuple(replace(each, title=name) for each, name in zip(one.classes, names, strict=True))
    group = [replace(one, classes=classes)]
    write_figures(tmp_path, {"scores-x": lambda: score_figure(group), "table-x": lambda: table_figure(group)})
    assert "gland$x^2" in text_of(tmp_path / "scores-x.pdf")
    assert "gland$x^2" in text_of(tmp_path / "table-x.pdf")


def test_scores_of_other_gates_are_drawn_apart_and_absent_classes_stay_empty(drawn, tmp_path):
    run, _, _ = drawn
    groups = comparable([scored(each.report, load_card("phantom")) for each in read_evaluations(run)])
    assert {name: [one.what for one in group] for name, group in groups.items()} == {
        "val-tpro-none": ["Segmenter"],
        "val-tpro-oracle": ["Activation maps", "Pseudo masks"],
    }
    [one] = groups["val-tpro-none"]
    absent = replace(one.classes[0], row=replace(one.classes[0].row, iou=np.nan, dice=np.nan, iou_interval=None))
    group = [replace(one, classes=(absent, *one.classes[1:]))]
    write_figures(tmp_path, {"scores-x": lambda: score_figure(group), "table-x": lambda: table_figure(group)})
    assert "nan" not in text_of(tmp_path / "table-x.pdf")


def test_wide_images_empty_and_ignored_areas_are_drawn(tmp_path):
    rng, palette = np.random.default_rng(0), load_card("phantom").palette
    labels = np.full((40, 1000), 255, np.uint8)
    labels[:, 300:] = 2
    image = rng.integers(0, 256, (40, 1000, 3), np.uint8)
    rows = [Pictured("wide", image, {"Truth": labels}), Pictured("tall", image[:, :30], {"Prediction": labels[:, :30]})]
    names = {0: "tumor", 1: "stroma", 2: "lymphocyte", 255: "not scored"}
    write_figures(tmp_path, {"examples": lambda: example_figure(rows, names, palette)})
    text = text_of(tmp_path / "examples.pdf")
    assert "3lymphocyte" in text
    assert "notscored" in text
    assert "tumor" not in text
