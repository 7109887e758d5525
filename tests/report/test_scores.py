"""Tables of an evaluation, and the notes beside the numbers."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from qaclims_path.data.card_parts import Published
from qaclims_path.report.evaluation import (
    Best,
    Bootstrap,
    BoundaryMean,
    ClassRow,
    EvaluationReport,
    Foreground,
    Means,
    PerImageMeans,
)
from qaclims_path.report.scores import score_tables

NAN = float("nan")
PBIP = Published(
    method="PBIP",
    source="table 1",
    protocol="pbip",
    gate="oracle",
    miou=69.54,
    miou_std=0.6,
    dice=82.03,
    fwiou=74.52,
    dice_made="from_miou",
)
REPORT = EvaluationReport(
    dataset="bcss-wsss",
    split="test",
    protocol="pbip",
    protocol_title="PBIP",
    gate="oracle",
    what="seg",
    images=40,
    expected_images=4986,
    missing=3,
    mean_over=("tumor",),
    scores=Means(0.7, 0.8, 0.65, 0.75, 0.71, 0.9),
    per_class=(
        ClassRow("tumor [1]", False, 0.7, 0.8, 0.9, 0.6, 1234567, 0.3, (0.68, 0.72), (0.78, 0.82)),
        ClassRow("fat", True, NAN, NAN, NAN, NAN, 0, NAN, (NAN, NAN), (NAN, NAN)),
    ),
    absent=("fat",),
    per_image_means=PerImageMeans(38, 0.6, 0.7, 0.8),
    boundary_iou=BoundaryMean(0.02, 0.3),
    intervals=Bootstrap("Poisson", 0.95, 1000, 0, (0.68, 0.72), (0.78, 0.82), (0.6, 0.7), (0.7, 0.8)),
    foreground=Foreground(0.95, 0.97, 0.9, 0.925),
    best_threshold=Best("best threshold (saw truth)", 0.31, 0.77),
    sweep=(),
    confusion=np.zeros((2, 3), np.int64),
    confusion_rows=("tumor", "background"),
    published=(PBIP,),
    notes=("A sentence.",),
)


def shown(report, width=200):
    console = Console(file=io.StringIO(), width=width)
    for part in score_tables(report):
        console.print(part)
    return console.file.getvalue()


def test_oracle_is_printed_in_every_table():
    titles = [str(part.title) for part in score_tables(REPORT) if hasattr(part, "title")]
    assert len(titles) == 3
    assert all("gate oracle" in title and "protocol pbip" in title for title in titles)
    assert "the true image labels chose" in shown(REPORT)


@pytest.mark.parametrize("width", [50, 60, 72, 80, 100])
def test_no_digit_is_lost_on_a_narrow_screen(width):
    def digits(width):
        console = Console(file=io.StringIO(), width=width)
        console.print(score_tables(REPORT)[1])
        return sorted(letter for letter in console.file.getvalue() if letter.isdigit())

    assert digits(width) == digits(200)


@pytest.mark.parametrize(
    "text",
    [
        "70.00",
        "68.0-72.0",
        "mIoU of tumor",
        "mIoU of all classes",
        "width 2 % of the diagonal",
        "mean of 38 images",
        "mIoU at 0.31, best threshold (saw truth)",
        "any class, IoU",
        "tumor [1]",
        "fat (absent)",
        "1,234,567",
        "69.54 ± 0.60",
        "from mIoU",
        "mean of classes",
        "missing: 3 of 40 images",
        "partial: 40 of 4986 images",
        "absent, in neither truth nor predictions, and in no mean: fat.",
        "A sentence.",
    ],
)
def test_notes_are_shown_beside_the_numbers(text):
    assert text in shown(REPORT)


def test_notes_that_do_not_apply_are_left_out():
    plain = replace(
        REPORT,
        gate="none",
        missing=0,
        expected_images=None,
        absent=(),
        mean_over=("tumor", "fat"),
        intervals=None,
        foreground=None,
        best_threshold=None,
        published=(),
        notes=(),
    )
    text = shown(plain)
    for word in ("oracle", "missing:", "partial", "absent,", "published", "saw truth", "any class", "all classes"):
        assert word not in text


def test_json_has_null_instead_of_nan():
    entry = REPORT.as_json()
    assert entry["per_class"]["fat"]["iou"] is None
    assert entry["per_class"]["fat"]["iou_interval"] == [None, None]
    assert entry["published"][0]["miou"] == 69.54
    assert "published" not in REPORT.entry()
