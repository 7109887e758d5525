"""The page of a cohort: bounded, escaped, and readable in a browser of any width."""

import numpy as np
import pytest

from qaclims_path.report.cohort import CohortPage, Failed, cohort_page
from qaclims_path.report.slides import Share, SlideShown, picture_of, slide_table

NASTY = "<script>document.title='taken'</script>\"'&"
CLASSES = (("Tumor", (213, 94, 0)), ("Stroma", (0, 114, 178)))


def lines(number):
    return [
        {"name": f"s{row}", "patient": "", "kind": "slide", "path": "/x", "status": "done", "mpp_um": "0.252345"}
        | {"confidence": "0.874", "labelled_mm2": "12.3456", "tumor_mm2": "0.00000325432", "tumor_percent": "0.01"}
        | {"stroma_mm2": "12.3", "stroma_percent": "99.99", "failure": "", "notes": ""}
        for row in range(number)
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with one slide, nasty texts and a long table."""
    path = tmp_path_factory.mktemp("cohort") / "cohort.html"
    picture = picture_of(np.full((300, 500, 3), (220, 180, 200), np.uint8), NASTY, 360)
    slide = SlideShown(
        NASTY,
        (picture, picture),
        tuple(Share(title, color, percent) for (title, color), percent in zip(CLASSES, (30.0, 70.0), strict=True)),
        ("12.3 mm²", "mean confidence 87 %"),
        (NASTY,),
        (("overlay", "slides/a%20b_overlay.jpg"),),
    )
    table = slide_table("cohort.csv", lines(40), {"tumor": "Tumor", "stroma": "Stroma"}, most=30)
    content = CohortPage(
        "Segmented slides",
        "1 of 41 done",
        (("model", NASTY),),
        ("Give it with `--slide-mpp`.",),
        CLASSES,
        (slide,),
        unpictured=7,
        failed=(Failed(NASTY, NASTY),),
        more_failed=3,
        table=table,
    )
    path.write_text(cohort_page(content), encoding="utf-8")
    return path


def test_percentages_come_first_and_empty_columns_are_left_out():
    table = slide_table("cohort.csv", lines(3), {"tumor": "Tumor"}, most=2)
    assert table.columns[:6] == ("name", "Tumor %", "stroma %", "labelled area", "Tumor area", "stroma area")
    assert table.columns[6:] == ("status", "µm per pixel", "confidence")
    assert [cell.text for cell in table.rows[0]][1:6] == ["<0.1", "100.0", "12.3 mm²", "3.25 µm²", "12.3 mm²"]
    assert table.rows[0][1].value == "0.01"
    assert table.numeric == (False, True, True, True, True, True, False, True, True)
    assert (len(table.rows), table.left_out) == (2, 1)
    assert slide_table("cohort.csv", [], {}, most=2) is None


def test_pages_are_bounded_and_say_so(page):
    html = page.read_text(encoding="utf-8")
    for said in ("7 more have no picture here", "and 3 more", "and 10 more rows in the file"):
        assert said in html
    assert "Give it with <code>--slide-mpp</code>." in html


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_errors_or_requests(browser, page, width):
    browser.open(page, width)
    assert browser.run("document.title") == "Segmented slides"
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("document.querySelectorAll('script').length") == 1
    assert browser.run("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")
    assert browser.quiet()
