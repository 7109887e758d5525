import numpy as np

from qaclims_path.report.map_pictures import MapPicture, map_picture

PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[:3] = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def test_a_map_colours_only_where_it_is_strong():
    image = np.full((40, 60, 3), 200, np.uint8)
    maps = np.zeros((1, 40, 60), np.float32)
    maps[0, :, 30:] = 1
    drawn = map_picture(MapPicture(image, maps, [1]), ["tumor", "stroma"], PALETTE).astype(int)
    panel = drawn[26 + 8 + 80 :, 240 + 16 :]
    assert np.ptp(panel[0, 20]) < 5
    assert panel[0, 220, 2] - panel[0, 220, 0] > 100


def test_truth_is_drawn_beside_and_background_is_not_painted():
    image = np.full((40, 40, 3), 200, np.uint8)
    truth = np.zeros((40, 40), np.uint8)
    truth[20:] = 2
    without = map_picture(MapPicture(image, np.zeros((0, 40, 40), np.float32), []), ["a", "b"], PALETTE)
    drawn = map_picture(MapPicture(image, np.zeros((0, 40, 40), np.float32), [], truth), ["a", "b"], PALETTE)
    assert drawn.shape[1] == 2 * without.shape[1] - 8
    last = drawn[34:, 240 + 16 + 10 :].astype(int)
    assert last[30, 100, 0] - last[30, 100, 1] > 40
    assert np.ptp(last[200, 100]) < 5


def test_titles_do_not_overlap_above_narrow_images():
    image = np.zeros((240, 20, 3), np.uint8)
    drawn = map_picture(MapPicture(image, np.zeros((2, 240, 20), np.float32), [0, 1]), ["a", "b"], PALETTE)
    assert drawn.shape[1] == 3 * (96 + 8) + 8
