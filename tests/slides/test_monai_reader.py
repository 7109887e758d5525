"""The slide reader for MONAI, which reads with the backends of this package."""

import numpy as np
import pytest
import torch

from qaclims_path.errors import ResolutionUnknown, UsageError

pytest.importorskip("monai")

from monai.data import DataLoader, PatchWSIDataset, SlidingPatchWSIDataset
from monai.transforms import LoadImaged

from qaclims_path.slides.monai_reader import SlideWSIReader
from qaclims_path.slides.reader import open_slide

BACKENDS = ("auto", "tiff", "openslide", "tiffslide")


@pytest.fixture
def slide(write_svs, tissue_like):
    """An Aperio slide of 0.5 um/px and 20x with two levels: path and pixels."""
    pixels = tissue_like(320, 400)
    return write_svs([pixels, pixels[::4, ::4]]), pixels


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_pixel_size_gives_the_pixels_of_the_slide(backend, slide):
    reader = SlideWSIReader(backend)
    with reader.read(slide[0]) as wsi:
        for mpp in (0.5, 0.77, 1.0, 2.0, 4.0):
            pixels, about = reader.get_data(wsi, location=(100, 40), size=(20, 30), mpp=mpp)
            assert pixels.shape == (3, 20, 30)
            np.testing.assert_array_equal(pixels.transpose(1, 2, 0), wsi.read(40, 100, 30, 20, mpp))
            assert tuple(about["location"]) == (100, 40)
            assert about["level"] == (1 if mpp >= 2 else 0)


def test_without_a_size_the_whole_slide_is_read(slide):
    reader = SlideWSIReader()
    with reader.read(slide[0]) as wsi:
        assert reader.get_data(wsi, mpp=1.0)[0].shape == (3, 160, 200)
        assert reader.get_data(wsi, power=5)[0].shape == (3, 80, 100)
        assert reader.get_data(wsi, level=1)[0].shape == (3, 80, 100)
        assert reader.get_data(wsi)[0].shape == (3, 320, 400)
        assert reader.get_wsi_at_mpp(wsi, 1.0).shape == (160, 200, 3)


def test_pairs_are_row_and_column(slide):
    reader = SlideWSIReader(slide_mpp=None)
    with reader.read(slide[0]) as wsi:
        assert (reader.get_size(wsi, 0), reader.get_level_count(wsi)) == ((320, 400), 2)
        assert reader.get_mpp(wsi, 1) == pytest.approx((2.0, 2.0))
        assert (reader.get_power(wsi, 1), reader.get_downsample_ratio(wsi, 1)) == (5.0, 4.0)
        assert reader.get_data(wsi, mpp=(0.5, 1.0))[0].shape == (3, 320, 200)


def test_pixels_equal_those_of_monai_with_openslide(slide):
    from monai.data import WSIReader

    theirs, ours = WSIReader(backend="openslide"), SlideWSIReader("tiff")
    a, b = theirs.read(str(slide[0])), ours.read(slide[0])
    for options in ({"level": 0}, {"level": 1}, {"mpp": 2.0}):
        expected, about = theirs.get_data(a, location=(64, 32), size=(40, 50), **options)
        found, ours_about = ours.get_data(b, location=(64, 32), size=(40, 50), **options)
        np.testing.assert_array_equal(found, expected)
        assert set(about) <= set(ours_about)
    a.close()
    b.close()


def test_several_slides_are_read_at_one_pixel_size(slide, write_svs, tissue_like):
    """MONAI's own readers fail here: the level found for the first slide is kept for the second."""
    other = write_svs([tissue_like(200, 200)], "other.svs")
    reader = SlideWSIReader()
    slides = reader.read([slide[0], other])
    pixels, about = reader.get_data(slides, size=(50, 60), mpp=1.0)
    assert pixels.shape == (2, 3, 50, 60)
    assert len(about["path"]) == 2
    with pytest.raises(UsageError, match="give a size"):
        reader.get_data(slides, mpp=1.0)
    for one in slides:
        one.close()


def test_pixels_outside_the_slide_are_background(slide):
    with open_slide(slide[0]) as wsi:
        pixels, _ = SlideWSIReader().get_data(wsi, location=(-30, 380), size=(40, 40), level=0)
        assert (pixels[:, :30] == 255).all()
        assert (pixels[:, :, 20:] == 255).all()


def test_channels_types_and_pixel_size_can_be_chosen(slide):
    with open_slide(slide[0]) as wsi:
        rgba, _ = SlideWSIReader(mode="RGBA", channel_dim=-1).get_data(wsi, size=(5, 6))
        assert rgba.shape == (5, 6, 4)
        assert (rgba[..., 3] == 255).all()
        tensor, _ = SlideWSIReader(dtype=torch.float32, mpp=1.0).get_data(wsi)
        assert (tensor.dtype, tuple(tensor.shape)) == (torch.float32, (3, 160, 200))


@pytest.mark.parametrize("wrong", [{"level": 7}, {"level": 0, "mpp": 1.0}, {"mode": "CMYK"}])
def test_wrong_options_are_refused(slide, wrong):
    with open_slide(slide[0]) as wsi, pytest.raises(UsageError):
        SlideWSIReader().get_data(wsi, size=(5, 6), **wrong)


def test_a_slide_without_pixel_size_and_magnification_is_refused(write_tiff, tissue_like):
    path = write_tiff([tissue_like(64, 64)], mpp=None)
    with SlideWSIReader().read(path) as wsi:
        with pytest.raises(ResolutionUnknown, match="--slide-mpp"):
            SlideWSIReader().get_data(wsi, mpp=1.0)
        with pytest.raises(UsageError, match="does not say its magnification"):
            SlideWSIReader().get_data(wsi, power=10)
    with SlideWSIReader(slide_mpp=0.25).read(path) as wsi:
        assert SlideWSIReader().get_data(wsi, mpp=0.5)[0].shape == (3, 32, 32)


def test_the_reader_works_in_patch_data_sets(slide):
    path, _ = slide
    data = PatchWSIDataset(
        [{"image": str(path), "location": [100, 50], "label": 1}], patch_size=(32, 48), patch_level=0,
        center_location=False, reader=SlideWSIReader,
    )  # fmt: skip
    with open_slide(path) as wsi:
        np.testing.assert_array_equal(data[0]["image"].numpy().transpose(1, 2, 0), wsi.read(50, 100, 48, 32, 0.5))
    sliding = SlidingPatchWSIDataset([{"image": str(path)}], patch_size=(64, 64), reader=SlideWSIReader("tiff"))
    batches = list(DataLoader(sliding, batch_size=8, num_workers=0))
    assert sum(len(batch["image"]) for batch in batches) == len(sliding) == 5 * 6


# MONAI sets up all its readers first, and one of them warns where pydicom is installed without nvImageCodec
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
def test_the_reader_works_in_load_imaged(slide):
    loaded = LoadImaged("image", reader=SlideWSIReader(mpp=2.0), ensure_channel_first=True)({"image": str(slide[0])})
    assert tuple(loaded["image"].shape) == (3, 80, 100)
