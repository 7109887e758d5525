import numpy as np
import pytest

from qaclims_path.report.contact_sheet import FRAME, HAIR, TILE, Row, contact_sheet, example, overlay

RED = (200, 0, 0)


def picture(height, width, value=120):
    return np.full((height, width, 3), value, np.uint8)


def test_overlay_tints_inside_only():
    inside = np.zeros((60, 60), bool)
    inside[20:40, 20:40] = True
    drawn = overlay(picture(60, 60), inside, RED)
    assert (drawn[~inside] == 120).all()
    assert (drawn[20, 20:40] == RED).all()
    red, green, blue = drawn[30, 30]
    assert red > 120 > green == blue


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (64, 0, 0)])
def test_an_outline_is_visible_in_every_colour(color):
    inside = np.zeros((60, 60), bool)
    inside[20:40, 20:40] = True
    drawn = overlay(picture(60, 60, value=255 if sum(color) > 600 else 0), inside, color)
    assert abs(int(drawn[20, 20].sum()) - int(drawn[0, 0].sum())) > 200


@pytest.mark.parametrize(("height", "width"), [(10, 10), (500, 900), (900, 500), (1, 700)])
def test_examples_fit_their_cell(height, width):
    shown = example("x", picture(height, width), np.ones((height, width), bool), RED)
    assert max(shown.image.shape) == TILE
    assert shown.drawn is not None
    assert shown.drawn.shape == shown.image.shape


def test_a_mask_of_another_size_has_the_colour_of_its_class():
    inside = np.zeros((90, 90), bool)
    inside[30:60, 30:60] = True
    drawn = example("x", picture(300, 300), inside, RED).drawn
    assert (drawn == RED).all(axis=-1).sum() > 200
    red, green, blue = drawn[TILE // 2, TILE // 2]
    assert red > 120 > green == blue


def test_a_sheet_shows_every_image_once_with_its_mask():
    masked = example("a", picture(100, 100, 10), np.eye(100, dtype=bool), RED)
    sheet = np.asarray(contact_sheet("T", "r", [Row("one", RED, "", [masked] * 2), Row("two", RED, "", [])], columns=3))
    assert sheet.dtype == np.uint8
    dark = (sheet == 10).all(axis=-1)
    assert dark[:, : sheet.shape[1] // 2].sum() > 2 * TILE * TILE * 0.7
    assert (sheet == RED).all(axis=-1).sum() > 0


def test_a_sheet_without_masks_is_narrower():
    plain = example("a", picture(50, 50), None, RED)
    masked = example("a", picture(50, 50), np.ones((50, 50), bool), RED)
    widths = [contact_sheet("T", "", [Row("x", RED, "", [shown])]).width for shown in (plain, masked)]
    assert widths[0] < widths[1]


def test_long_and_foreign_names_and_many_pictures_are_drawn():
    many = [example("ein sehr langer Name 組織 " * 20, picture(50, 50), None, RED)] * 9
    sheet = contact_sheet("t" * 500, "r" * 500, [Row("n" * 500, RED, "m" * 500, many)], columns=2)
    assert sheet.width < 3 * TILE


def test_an_empty_sheet_has_a_heading():
    assert contact_sheet("T", "r", []).height < TILE


def test_white_tiles_have_a_frame():
    white = example("a", picture(50, 50, 255), np.zeros((50, 50), bool), RED)
    sheet = np.asarray(contact_sheet("T", "", [Row("x", RED, "", [white])], columns=1))
    rows, columns = np.nonzero((sheet == FRAME).all(axis=-1))
    below = rows > rows.min() + 40  # the line above the heading
    assert rows[below].max() - rows[below].min() == TILE + 1
    assert columns[below].max() - columns[below].min() == 2 * TILE + HAIR + 1
