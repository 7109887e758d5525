"""The stages of the method: maps, masks and segmenters, one by one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaclims_path.api.options import Where, optional, public, read
from qaclims_path.config import Settings, settings_of
from qaclims_path.engine.settings import RunSettings
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.segmenter.predict_options import PredictOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from qaclims_path.pipeline.cam.arrays import ImageMapper
    from qaclims_path.pipeline.cam.maps import CamsReport
    from qaclims_path.pipeline.cam.train import TrainCamReport
    from qaclims_path.pipeline.masks.boundary import BoundaryReport
    from qaclims_path.pipeline.masks.make import MasksReport
    from qaclims_path.pipeline.segmenter.predict import PredictReport
    from qaclims_path.pipeline.segmenter.train import TrainSegReport

UNUSED = ("least", "glass", "batch")  # of `MaskOptions`, which concern files


@public(RunSettings)
def train_cam(
    recipe: Where,
    root: Where,
    out: Where,
    *,
    corpus: Where | None = None,
    settings: Settings = (),
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "TrainCamReport":
    """Train the network of the maps, or continue a stopped training.

    Args:
        recipe: A name such as `bcss-wsss/cam`, or a YAML file.
        root: Folder of the data in the publisher's layout.
        out: Folder of the run.
        corpus: File of answers, for methods that use them.
        settings: Changes of the recipe, as a dictionary such as `{"cam.train.epochs": 5}`.
        **options: Fields of `RunSettings`.

    Examples:
        >>> train_cam("bcss-wsss/cam", "BCSS-WSSS", "run", precision="bf16").epochs  # doctest: +SKIP
        15
    """
    from qaclims_path.pipeline.cam.train import train_cam as train
    from qaclims_path.pipeline.run.options import load_run

    running = read(RunSettings, options, "train_cam")
    chosen = load_run(recipe, settings).training_of_maps
    return train(chosen, Path(root), Path(out), corpus=optional(corpus), running=running)


@public(MapOptions)
def make_maps(
    run: Where,
    root: Where,
    split: str,
    *,
    dataset: Where | None = None,
    protocol: str | None = None,
    overlays: int = 0,
    out: Where | None = None,
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "CamsReport":
    """Make the activation maps of every image of a split.

    Args:
        run: Folder of a training, with its network in `cam/`.
        root: Folder of the data in the publisher's layout.
        split: Name of the split.
        dataset: Name or path of a card; that of the run when None.
        protocol: Name of one of the card's protocols; the first when None.
        overlays: Images to draw with their maps.
        out: Folder to write; `cams/<split>` in the run when None.
        **options: Fields of `MapOptions`.

    Examples:
        >>> make_maps("run", "BCSS-WSSS", "train", scales=(1.0, 0.5)).images  # doctest: +SKIP
        23422
    """
    from qaclims_path.data.cards import card_of
    from qaclims_path.data.split import open_split
    from qaclims_path.pipeline.cam.maps import make_cams
    from qaclims_path.pipeline.cam.overlays import draw_overlays

    chosen = read(MapOptions, options, "make_maps")
    images = open_split(card_of(Path(run), dataset), root, split, protocol)
    report = make_cams(Path(run), images, chosen, out=optional(out))
    if overlays:
        draw_overlays(Path(report.folder), images, overlays)
    return report


@public()
def load_mapper(
    run: Where,
    *,
    scales: "Sequence[float]" = (1.0, 0.5, 1.5, 2.0),
    precision: str = "auto",
    device: str = "auto",
) -> "ImageMapper":
    """Load the trained network of the maps, for images in memory.

    Args:
        run: Folder of a training, with its network in `cam/`.
        scales: Factors by which each image and its mirror image are scaled.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.

    Examples:
        >>> mapper = load_mapper("demo/runs/cam")  # doctest: +SKIP
        >>> mapper(Image.open("tile.png"), ["tumor", "stroma"]).shape  # doctest: +SKIP
        (2, 56, 56)
    """
    from qaclims_path.pipeline.cam.arrays import load_mapper as load

    return load(Path(run), read(MapOptions, {}, "load_mapper", scales=scales, precision=precision, device=device))


@public(MaskOptions, leave_out=UNUSED)
def refine_maps(
    image: "NDArray[np.uint8] | Image",
    maps: "NDArray[np.floating]",
    *,
    device: str = "auto",
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "tuple[NDArray[np.uint8], NDArray[np.float32]]":
    """Turn the maps of an image in memory into labels, as `make_masks` does with stored ones.

    Args:
        image: H W 3 array of bytes, or a Pillow image.
        maps: K h w in 0..1, of the size of the image or smaller.
        device: `auto`, `cpu`, `cuda`, ...; the dense CRF always works on the CPU.
        **options: Fields of `MaskOptions`; without a number as `threshold` nothing is background.

    Returns:
        Labels H W, indices of maps, 255 for background; and the confidence of each label, H W in 0..1.

    Examples:
        >>> labels, confidence = refine_maps(image, maps, refiner="par", threshold=0.3)  # doctest: +SKIP
    """
    from qaclims_path.pipeline.masks.arrays import refine_maps as refine

    return refine(image, maps, read(MaskOptions, options, "refine_maps"), device)


@public(MaskOptions)
def make_masks(
    run: Where,
    root: Where,
    split: str,
    *,
    dataset: Where | None = None,
    protocol: str | None = None,
    maps: Where | None = None,
    device: str = "auto",
    threads: int = 1,
    out: Where | None = None,
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "MasksReport":
    """Turn the stored maps of a split into pseudo masks.

    Args:
        run: Folder of the run, with maps in `cams/<split>`.
        root: Folder of the data in the publisher's layout.
        split: Name of the split.
        dataset: Name or path of a card; that of the run when None.
        protocol: Name of one of the card's protocols, which gives the threshold; the first when None.
        maps: Folder of the maps, instead of the run's.
        device: `auto`, `cpu`, `cuda`, ...; the dense CRF always works on the CPU.
        threads: Images that the dense CRF works on at once.
        out: Folder to write; `masks/<split>` in the run when None.
        **options: Fields of `MaskOptions`.

    Examples:
        >>> make_masks("run", "BCSS-WSSS", "train", refiner="par").images  # doctest: +SKIP
        23422
    """
    from qaclims_path.pipeline.masks.make import make_masks as make
    from qaclims_path.pipeline.masks.split import split_of_maps

    chosen, folder = read(MaskOptions, options, "make_masks"), optional(maps)
    images = split_of_maps(Path(run), Path(root), split, dataset=dataset, protocol=protocol, maps=folder)
    return make(Path(run), images, chosen, maps=folder, out=optional(out), device=device, threads=threads)


@public(RunSettings)
def train_boundary(
    run: Where,
    root: Where,
    *,
    split: str = "train",
    dataset: Where | None = None,
    protocol: str | None = None,
    threads: int = 1,
    settings: Settings = (),
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "BoundaryReport":
    """Train the boundary network of the refiner `irn`, from the confident parts of the maps.

    Args:
        run: Folder of the run, with maps in `cams/<split>`.
        root: Folder of the data in the publisher's layout.
        split: Split whose maps are learned from.
        dataset: Name or path of a card; that of the run when None.
        protocol: Protocol that says whether there is background; the first of the card when None.
        threads: Images that the dense CRF works on at once.
        settings: Changes of the options, as a dictionary such as `{"masks.boundary.train.epochs": 5}`.
        **options: Fields of `RunSettings`.

    Examples:
        >>> train_boundary("run", "VOC2012", split="train_aug").epochs  # doctest: +SKIP
        3
    """
    from qaclims_path.pipeline.masks.boundary import train_boundary as train
    from qaclims_path.pipeline.masks.options import load_boundary_options
    from qaclims_path.pipeline.masks.split import split_of_maps

    running = read(RunSettings, options, "train_boundary")
    chosen = load_boundary_options(settings_of(settings), split)
    images = split_of_maps(Path(run), Path(root), chosen.split, dataset=dataset, protocol=protocol)
    return train(Path(run), images, chosen, running=running, threads=threads)


@public(RunSettings)
def train_segmenter(
    recipe: Where,
    root: Where,
    out: Where,
    *,
    masks: Where | None = None,
    settings: Settings = (),
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "TrainSegReport":
    """Train a segmenter on pseudo masks, or continue a stopped training.

    Args:
        recipe: A name such as `bcss-wsss/cam`, or a YAML file.
        root: Folder of the data in the publisher's layout.
        out: Folder of the run; the segmenter goes to `seg`.
        masks: Folder of pseudo masks; `masks/<split>` in the run when None.
        settings: Changes of the recipe, as a dictionary such as `{"seg.train.epochs": 5}`.
        **options: Fields of `RunSettings`.

    Examples:
        >>> train_segmenter("bcss-wsss/cam", "BCSS-WSSS", "run").folder  # doctest: +SKIP
        'run/seg'
    """
    from qaclims_path.pipeline.run.options import load_run
    from qaclims_path.pipeline.segmenter.train import train_seg

    running = read(RunSettings, options, "train_segmenter")
    chosen = load_run(recipe, settings).seg
    return train_seg(chosen, Path(root), Path(out), masks=optional(masks), running=running)


@public(PredictOptions)
def predict(
    model: Where,
    root: Where,
    split: str,
    *,
    dataset: Where | None = None,
    protocol: str | None = None,
    out: Where | None = None,
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "PredictReport":
    """Label every image of a split of a data set with a trained segmenter; no gate is used.

    Args:
        model: Folder of a run or of a segmenter, or its name on the hub.
        root: Folder of the data in the publisher's layout.
        split: Name of the split.
        dataset: Name or path of a card; that of the model when None.
        protocol: Protocol that is scored under later; that of the training when None.
        out: Folder to write; `seg/predictions/<split>` in the run when None.
        **options: Fields of `PredictOptions`.

    Examples:
        >>> predict("run", "BCSS-WSSS", "test", flip=True).images  # doctest: +SKIP
        4986
    """
    from qaclims_path.pipeline.segmenter.predict import predict as label
    from qaclims_path.pipeline.segmenter.split import split_of_segmenter

    chosen = read(PredictOptions, options, "predict")
    images = split_of_segmenter(str(model), Path(root), split, dataset=dataset, protocol=protocol)
    return label(str(model), images, chosen, out=optional(out))
