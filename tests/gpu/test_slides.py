"""Slides and images on a pretended GPU: one wait and no blocking copy per batch, the results of the CPU."""

import numpy as np
import pytest
import torch
from PIL import Image

from qaclims_path.compute.transfer import fetched, sent
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.files.images import read_mask
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import Channel, SegmenterSpec
from qaclims_path.pipeline.inference.images import process_images
from qaclims_path.pipeline.inference.inputs import SegmentInputs, collect
from qaclims_path.pipeline.inference.model import SegmentModel
from qaclims_path.pipeline.inference.options import SegmentOptions
from qaclims_path.slides.maps.stitch import Blend, canvas_of, predict_tiles, stitch
from qaclims_path.types import TileGrid

SIDE, TILE, STRIDE, BATCH, BATCHES = 160, 64, 48, 4, 3
OPTIONS = SegmentOptions(size=TILE, precision="fp32")
CLASSES = ("tumor", "stroma", "necrosis")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A segmenter with random weights, of which every class occurs."""
    torch.manual_seed(0)
    channels = tuple(Channel(name, name, (60 * code, 0, 0), code) for code, name in enumerate(CLASSES))
    about = {"dataset": "made-up", "domain": "pathology"}
    spec = SegmenterSpec("unet", find_backbone("test_resnet"), channels, {"decoder_channels": [8] * 5}, 0.5, about)
    segmenter = Segmenter(spec).eval()
    segmenter.network.segmentation_head[0].weight.data *= 30
    folder = tmp_path_factory.mktemp("models") / "tiny"
    segmenter.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def picture():
    return paint_slide(3, (SIDE, SIDE))[0]


def class_map(picture, looks, stride=STRIDE):
    """Codes and confidence of a picture that is cut into tiles and stitched again."""
    starts = np.arange(0, SIDE - TILE + 1, stride)
    y, x = (each.ravel() for each in np.meshgrid(starts, starts, indexing="ij"))
    grid = TileGrid(x, y, TILE, TILE, TILE, 0.5, np.ones(len(x), np.float32))
    canvas = canvas_of(SIDE, SIDE, (0.5, 0.5), grid)
    tiles = ((i, picture[y[i] : y[i] + TILE, x[i] : x[i] + TILE]) for i in range(len(x)))
    blend = Blend(len(looks.palette()), batch=BATCH)
    bands = list(stitch(predict_tiles(tiles, looks.of_tiles(), canvas, blend), canvas, blend))
    return tuple(np.concatenate([getattr(band, layer) for band in bands]) for layer in ("codes", "confidence"))


@pytest.mark.parametrize(("stride", "batches"), [(STRIDE, BATCHES), (TILE, 1)], ids=["overlapping", "side by side"])
def test_a_stitched_map_waits_once_per_batch_and_equals_that_of_the_cpu(stride, batches, gpu, model, picture):
    codes, confidence = class_map(picture, SegmentModel(model, OPTIONS, "cpu"), stride)
    looks = SegmentModel(model, OPTIONS, "cuda")
    looks.of_tiles()  # loads the network
    gpu.clear()
    found, sure = class_map(picture, looks, stride)
    assert (gpu.mixes.total(), gpu.copies.total()) == (0, 0), str(gpu)
    assert gpu.waits.total() == batches, str(gpu)
    assert len(np.unique(codes)) > 2
    assert (codes == found).mean() > 0.999
    assert np.abs(confidence.astype(int) - sure).max() <= 1


def test_labels_of_images_wait_once_per_batch_and_equal_those_of_the_cpu(gpu, model, picture, tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(3 * BATCHES):  # three images of this size are a batch
        Image.fromarray(np.roll(picture, 16 * number, 1)).save(tmp_path / "images" / f"i{number}.png")
    options = OPTIONS.model_copy(update={"size": SIDE})

    def labelled(device):
        out = tmp_path / device
        tasks, _ = collect(SegmentInputs((str(tmp_path / "images"),)), out, options)
        looks = SegmentModel(model, options, device)
        predict = looks.of_images()
        gpu.clear()
        states = list(process_images(tasks, looks, BATCH))
        assert [state.status for state in states] == ["done"] * len(tasks)
        assert predict.device.type == device
        return [read_mask(out / kind / f"{t.name}.png") for t in tasks for kind in ("labels", "confidence")]

    wanted = labelled("cpu")
    found = labelled("cuda")
    assert (gpu.mixes.total(), gpu.copies.total()) == (0, 0), str(gpu)
    assert gpu.waits.total() == BATCHES, str(gpu)
    assert all(np.array_equal(one, other) for one, other in zip(wanted, found, strict=True))


def test_results_are_fetched_in_order_one_after_the_next_has_begun(gpu):
    begun = []

    def results():
        for number in range(5):
            begun.append(number)
            yield number, torch.full((3 - number % 2, 2), number, device="cuda")

    for number, values in fetched(results()):
        assert values.tolist() == [[number, number]] * (3 - number % 2)
        assert begun == list(range(min(number + 2, 5)))
    assert gpu.waits.total() == 5, str(gpu)
    assert gpu.copies.total() == 0, str(gpu)


def test_results_of_a_cpu_are_not_copied():
    given = [("a", torch.ones(2)), ("b", torch.zeros(3))]
    assert [(key, values.data_ptr()) for key, values in fetched(iter(given))] == [
        (key, values.data_ptr()) for key, values in given
    ]
    assert list(fetched([])) == []


def test_arrays_are_sent_without_waiting(gpu):
    assert sent(np.arange(3), torch.device("cuda")).tolist() == [0, 1, 2]
    assert gpu.copies.total() == 0, str(gpu)
    assert gpu.sent.total() == 1, str(gpu)
