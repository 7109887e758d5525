"""Parts of the page of a run: charts, curves, evaluations read back, pictures, the choice of images."""

import math

import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadFile
from qaclims_path.files.atomic import write_json
from qaclims_path.files.numbers import spent
from qaclims_path.files.scores import write_scores
from qaclims_path.pipeline.datasets.fake import make_fake
from qaclims_path.pipeline.datasets.options import FakeOptions
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.pipeline.run.examples import best_median_worst
from qaclims_path.report.evaluation import write_report
from qaclims_path.report.pages import policy
from qaclims_path.report.run.charts import MOST_POINTS, Mark, Series, distinct, line_chart, ticks
from qaclims_path.report.run.curves import read_logs, training_of
from qaclims_path.report.run.evaluations import read_evaluations
from qaclims_path.report.run.pictures import SIDE, fitted, painted_doubt, painted_labels, painted_maps
from qaclims_path.report.run.scored import scored


def points(path):
    return [tuple(map(float, point.split())) for point in path[1:].split("L")]


def test_a_line_passes_through_its_numbers():
    chart = line_chart("loss", [Series([(0, 0.0), (5, 10.0), (10, 5.0)])], size=(140, 120), y_range=(0, 10))
    assert points(chart.lines[0].path) == [(40, 96), (84, 10), (128, 53)]
    assert [tick.text for tick in chart.y_ticks] == ["0", "5", "10"]
    assert chart.summary == "loss: from 0 at 0 to 5 at 10, between 0 and 10"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 160), (-0.37, 0.02), (0.0003, 0.00031), (99_000, 1_000_000)])
def test_ticks_are_few_round_numbers_inside_the_ends(low, high):
    found = ticks(low, high, 4)
    assert 1 <= len(found) <= 4
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


def test_values_that_are_no_numbers_are_not_drawn():
    assert line_chart("loss", [Series([(1, math.nan)]), Series([])]) is None
    chart = line_chart("loss", [Series([(1, 2.0), (2, math.nan), (3, math.inf)])], marks=[Mark(9, "outside")])
    assert chart.lines[0].dot == points(chart.lines[0].path)[0]
    assert chart.marks == ()


@pytest.mark.parametrize(
    ("low", "high"), [(0.99981, 0.99984), (12_500, 12_503), (-0.37, 0.02), (3e-5, 3.1e-5), (100_000, 100_004)]
)
def test_texts_of_ticks_do_not_repeat(low, high):
    chart = line_chart("loss", [Series([(1, low), (2, high)])])
    texts = [tick.text for tick in chart.y_ticks]
    assert len(texts) >= 2
    assert len({*texts}) == len(texts)
    assert distinct([]) == []


def test_a_curve_of_one_point_is_a_dot():
    chart = line_chart("loss", [Series([(1, 2.0)])])
    assert chart.lines[0].dot is not None
    assert line_chart("loss", [Series([(1, 2.0), (2, 3.0)])]).lines[0].dot is None


def test_long_lines_are_thinned_without_moving():
    chart = line_chart("loss", [Series([(step, math.sin(step / 900)) for step in range(20_000)])])
    assert len(points(chart.lines[0].path)) <= MOST_POINTS
    assert chart.summary.endswith("between -1 and 1")


def test_curves_are_grouped_and_classes_have_colours(tmp_path):
    names = ["loss", "floor", "area/tumor", "lr", "images_per_s", "epoch/loss", "val/miou"]
    rows = [["1", "0", "2.0", "0.1", "0.5", "1e-3", "20", "", ""], ["1", "1", "", "", "", "", "", "2.0", "0.3"]]
    rows += [["2", "1", "1.0", "", "nan", "5e-4", "40", "", ""], ["2", "2", "", "", "", "", "", "1.0", "0.4"]]
    (tmp_path / "log.csv").write_text("\n".join(",".join(row) for row in [["step", "epoch", *names], *rows]))
    [log] = read_logs(tmp_path)
    found = training_of(log, load_card("bcss-wsss"))
    assert (found.epochs, found.steps, found.speed) == (2, 2, 30.0)
    assert [(group.title, [chart.title for chart in group.charts]) for group in found.groups] == [
        ("losses", ["loss", "floor"]),
        ("area", ["Tumor"]),
        ("val", ["miou"]),
        ("optimiser", ["lr"]),
    ]
    assert found.groups[1].charts[0].color == load_card("bcss-wsss").classes[0].color
    assert [line.weight for line in found.groups[0].charts[0].lines] == ["faint", "main"]


def test_trainings_are_in_the_order_of_the_stages(tmp_path):
    for folder in ("seg", "init/cam", "boundary/training", "cam", "own"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "log.csv").write_text("step,epoch,loss\n1,0,2\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "log.csv").write_text("step,epoch\n")
    titles = [log.title for log in read_logs(tmp_path)]
    assert titles == ["Activation maps", "Activation maps, the initialiser", "Boundary network", "Segmenter", "own"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A real evaluation of class scores with a sweep, and the folder it was written to."""
    folder = tmp_path_factory.mktemp("scored")
    card = load_card("glas")
    make_fake(card, folder / "data", FakeOptions(images=4))
    rng = np.random.default_rng(0)
    from qaclims_path.data.listing import list_records

    split = next(name for name, one in card.splits.items() if one.supervision == "masks")
    for record in list_records(card, folder / "data", split):
        width, height = record.image.size()
        maps = rng.random((1, 8, 8)).astype(np.float32)
        write_scores(folder / "pred" / f"{record.id}.npz", maps, card.names, (height, width))
    out = folder / "run" / "cams" / split / "scores"
    found = evaluate(folder / "pred", card, folder / "data", split, gate="none", sweep=True, out=out, what="cams")
    return card, found, out, folder / "run"


def test_an_evaluation_is_read_back_as_it_was(report):
    _, made, _, run = report
    (found,) = read_evaluations(run)
    again = found.report
    assert again.entry() == made.entry()
    assert again.confusion.tolist() == made.confusion.tolist()
    assert again.confusion_rows == made.confusion_rows
    assert [row.threshold for row in again.sweep] == [row.threshold for row in made.sweep]
    assert again.protocol_title == made.protocol_title
    assert len(found.images) == made.images


def test_entries_of_the_run_come_first_and_get_their_tables(report, tmp_path):
    _, made, _, _ = report
    write_report(made, tmp_path / "cams" / "x")
    write_json(tmp_path / "metrics.json", [made.entry()])
    (found,) = read_evaluations(tmp_path)
    assert found.report.confusion.size
    other = made.entry() | {"scores": made.entry()["scores"] | {"miou": 0.123}}
    write_json(tmp_path / "metrics.json", [other])
    (found,) = read_evaluations(tmp_path)
    assert found.report.scores.miou == 0.123
    assert not found.report.confusion.size, "the tables beside it are of other scores"


def test_a_damaged_evaluation_is_named(report, tmp_path):
    _, made, _, _ = report
    entry = made.entry()
    del entry["per_class"]
    write_json(tmp_path / "metrics.json", [entry])
    with pytest.raises(BadFile, match=r"metrics.json is not an evaluation .*'per_class' is missing"):
        read_evaluations(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(BadFile, match="cannot be read"):
        read_evaluations(tmp_path)


def test_shares_of_the_confusion_matrix_sum_over_rows(report):
    card, made, _, _ = report
    shown = scored(made, card)
    for row, counts in zip(shown.matrix, made.confusion, strict=True):
        assert row.pixels == counts.sum()
        assert [share for share, _ in row.cells] == pytest.approx((counts / counts.sum())[: len(row.cells)].tolist())
    assert shown.curve.marks[0].text == "best, saw truth"
    assert len(shown.curves) == len(made.per_class)


def test_published_rows_have_the_same_protocol_gate_split_and_stage(report):
    card, made, _, _ = report
    rows = scored(made, card).published
    assert {(row.protocol, row.gate, row.split, row.what) for row in rows} <= {
        (made.protocol, made.gate, made.split, "cams")
    }
    everything = len(card.published)
    assert len(rows) < everything


def test_without_a_card_there_are_names_and_no_colours(report):
    _, made, _, _ = report
    shown = scored(made, None)
    assert [one.title for one in shown.classes] == [row.name for row in made.per_class]
    assert all(one.color is None for one in shown.classes)


@pytest.mark.parametrize(("height", "width"), [(900, 600), (224, 224), (20, 10), (3, 2000)])
def test_pictures_have_one_size_unless_they_are_tiny(height, width):
    picture = fitted(np.zeros((height, width, 3), np.uint8))
    assert max(picture.shape[:2]) == min(SIDE, 2 * max(height, width))


def test_layers_of_other_sizes_fit_their_picture():
    picture = fitted(np.full((90, 60, 3), 128, np.uint8))
    palette = np.zeros((256, 3), np.uint8)
    palette[1], palette[2] = (255, 0, 0), (0, 0, 255)
    labels = np.zeros((900, 600), np.uint8)
    labels[:, 300:] = 1
    drawn = painted_labels(picture, labels, palette, hidden=[0]).astype(int)
    assert (drawn[:, :60] == 128).all()
    assert (drawn[:, 60] == palette[1]).all()
    assert drawn[40, 100, 0] > 128 > drawn[40, 100, 1] > 60
    maps = np.zeros((1, 10, 15), np.float16)
    maps[0, :, 8:] = 1
    hot = painted_maps(picture, maps, [2], palette)
    assert hot[20, 5].tolist() == [128, 128, 128]
    assert hot[20, 115, 2] > 200 > 60 > hot[20, 115, 0]
    assert (painted_maps(picture, maps[:0], [], palette) == 128).all()
    doubt = painted_doubt(picture, np.ones((5, 5), np.float32), 4)
    assert (doubt == 128).all()


def test_no_image_is_shown_twice():
    for number in range(1, 12):
        names = [(str(row), row / 20) for row in range(number)]
        shown = [name for group in best_median_worst([*names, ("nothing", math.nan)], 2).values() for name, _ in group]
        assert len(shown) == len(set(shown)) == (min(number, 2) if number < 3 else 3 * min(2, number // 3))
    found = best_median_worst([(str(row), row / 20) for row in range(9)], 2)
    assert found["Best"] == [("8", 0.4), ("7", 0.35)]
    assert found["Worst"] == [("0", 0.0), ("1", 0.05)]


def test_times_are_formatted_and_policies_name_hashes():
    assert [spent(seconds) for seconds in (0, 59.96, 3600)] == ["0.0 s", "1 min 00 s", "1 h 00 min"]
    assert "script-src 'none'" in policy("a", "")
    assert "unsafe" not in policy("a", "b")
