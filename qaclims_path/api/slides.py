"""Slides and segmentation: facts, tiles, class maps, and labels of arrays."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaclims_path.api.options import Where, optional, public, read, several, with_shard
from qaclims_path.pipeline.inference.options import ComputeOptions, SegmentOptions
from qaclims_path.pipeline.tiling.options import TileOptions, WorkOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qaclims_path.pipeline.inference.arrays import ImageSegmenter
    from qaclims_path.pipeline.inference.cohort import SegmentReport
    from qaclims_path.pipeline.tiling.arrays import SlideTile
    from qaclims_path.pipeline.tiling.info import SlideReport
    from qaclims_path.pipeline.tiling.report import TileReport
    from qaclims_path.pipeline.tiling.slide import SlidePlan
    from qaclims_path.pipeline.tiling.tile import TileInputs
    from qaclims_path.slides.reader import Slide


@public()
def open_slide(path: Where, *, backend: str = "auto", mpp: float | tuple[float, float] | None = None) -> "Slide":
    """Open a slide file, a folder of DICOM instances, a picture, or a URL that fsspec supports.

    Args:
        path: Path or URL.
        backend: Name of a reader; `auto` takes the fastest that reads the file exactly.
        mpp: Pixel size of level 0 in micrometres, one number or (x, y); overrides that of the file.

    Examples:
        >>> with open_slide("case-1.svs") as slide:  # doctest: +SKIP
        ...     tile = slide.read(10_000, 12_000, 224, 224, mpp=0.5)
    """
    from qaclims_path.slides.reader import open_slide as open_

    return open_(path, backend=backend, mpp=mpp)


@public()
def slide_info(path: Where, *, backend: str = "auto", mpp: float | None = None) -> "SlideReport":
    """Return size, pixel size and levels of a slide.

    Args:
        path: A file, a DICOM folder, or an address.
        backend: Reader that opens it.
        mpp: Pixel size in micrometres, for a slide that does not state it.

    Examples:
        >>> slide_info("case-1.svs").slide.mpp  # doctest: +SKIP
        (0.252, 0.252)
    """
    from qaclims_path.pipeline.tiling.info import slide_info as info

    return info(path, backend=backend, mpp=mpp)


@public(TileOptions, WorkOptions)
def tile(
    slides: "Where | Iterable[Where]",
    out: Where,
    *,
    mpp: float | None = None,
    magnification: float | None = None,
    stride: float | None = None,
    overlap: float | None = None,
    labels: Where | None = None,
    roi: Where | None = None,
    tissue: str = "otsu",
    slide_mpp: float | None = None,
    **options: Any,  # noqa: ANN401 - the models check them
) -> "TileReport":
    """Cut tiles from slides into a folder that is a data set; slides that an earlier call finished are kept.

    Args:
        slides: Slides, DICOM folders, folders of slides, or a CSV with the column slide.
        out: Folder to write.
        mpp: Pixel size of the tiles in micrometres.
        magnification: The same as a magnification: 20 is 0.5 um.
        stride: Pixels from one tile to the next; the size when None.
        overlap: Share by which neighbours overlap, instead of `stride`.
        labels: A GeoJSON, a folder with one per slide, or a CSV with slide,labels.
        roi: A GeoJSON of the regions to tile, or a folder of them.
        tissue: `otsu`, `none`, a mask, a GeoJSON, or a folder of these.
        slide_mpp: Pixel size in micrometres of slides that do not state it.
        **options: Fields of `TileOptions` and `WorkOptions`.

    Examples:
        >>> drawn = {"labels": "annotations", "annotations": "sparse"}
        >>> tile("slides", "tiles", mpp=0.5, size=224, **drawn).tiles  # doctest: +SKIP
        {'train': 4218, 'val': 901, 'test': 733}
    """
    from qaclims_path.pipeline.tiling.tile import tile as cut

    inputs = _tile_inputs(slides, labels=labels, roi=roi, tissue=tissue, slide_mpp=slide_mpp)
    cutting = _tile_options(options, mpp, magnification, stride, overlap, tissue)
    return cut(inputs, Path(out), cutting, read(WorkOptions, with_shard(options), "tile"))


@public()
def read_tiles(
    slide: Where,
    *,
    mpp: float | None = None,
    magnification: float | None = None,
    size: int = 224,
    stride: float | None = None,
    overlap: float | None = None,
    min_tissue: float = 0.5,
    tissue: str = "otsu",
    roi: Where | None = None,
    slide_mpp: float | None = None,
    backend: str = "auto",
) -> "Iterator[SlideTile]":
    """Read the tiles that `tile` cuts from a slide into memory, row by row; nothing is written.

    Args:
        slide: A file, a DICOM folder, or an address.
        mpp: Pixel size of the tiles in micrometres.
        magnification: The same as a magnification: 20 is 0.5 um.
        size: Width and height of a tile in pixels.
        stride: Pixels from one tile to the next; the size when None.
        overlap: Share by which neighbours overlap, instead of `stride`.
        min_tissue: Smallest share of a tile that must be tissue.
        tissue: `otsu`, `none`, a mask, or a GeoJSON.
        roi: A GeoJSON of the regions to read.
        slide_mpp: Pixel size in micrometres of a slide that does not state it.
        backend: Reader of the slide.

    Examples:
        >>> for x, y, tissue, pixels in read_tiles("case-1.svs", mpp=0.5):  # doctest: +SKIP
        ...     print(x, y, pixels.mean())
    """
    from qaclims_path.pipeline.tiling.arrays import read_tiles as read_

    given = {"size": size, "min_tissue": min_tissue, "backend": backend}
    cutting = _tile_options(given, mpp, magnification, stride, overlap, tissue)
    return read_(str(slide), cutting, tissue=tissue, roi=optional(roi), slide_mpp=slide_mpp)


@public(TileOptions, WorkOptions)
def plan_tiles(
    slides: "Where | Iterable[Where]",
    out: Where,
    *,
    mpp: float | None = None,
    magnification: float | None = None,
    stride: float | None = None,
    overlap: float | None = None,
    labels: Where | None = None,
    roi: Where | None = None,
    tissue: str = "otsu",
    slide_mpp: float | None = None,
    **options: Any,  # noqa: ANN401 - the models check them
) -> "list[SlidePlan]":
    """Plan the tiles that `tile` would cut, with the same arguments; nothing is written.

    Examples:
        >>> [plan.tiles for plan in plan_tiles("slides", "tiles", mpp=0.5)]  # doctest: +SKIP
        [1204, 877]
    """
    from qaclims_path.pipeline.tiling.tile import plan

    inputs = _tile_inputs(slides, labels=labels, roi=roi, tissue=tissue, slide_mpp=slide_mpp)
    cutting = _tile_options(options, mpp, magnification, stride, overlap, tissue)
    return plan(inputs, Path(out), cutting, read(WorkOptions, with_shard(options), "plan_tiles"))


@public(SegmentOptions, ComputeOptions)
def segment(
    model: Where,
    inputs: "Where | Iterable[Where]",
    out: Where,
    *,
    slide_mpp: float | None = None,
    tissue: str = "otsu",
    **options: Any,  # noqa: ANN401 - the models check them
) -> "SegmentReport":
    """Segment slides and images into a folder; results of an earlier call with the same options are kept.

    Args:
        model: Folder of a run or of a segmenter, or its name on the hub.
        inputs: Slides, images, folders of either, or a CSV with the column slide.
        out: Folder to write.
        slide_mpp: Pixel size in micrometres of slides and images that do not state it.
        tissue: `otsu`, `none`, a mask, a GeoJSON, or a folder of these.
        **options: Fields of `SegmentOptions` and `ComputeOptions`.

    Examples:
        >>> segment("run", "slides", "maps", flip=True).rows[0].percent("tumor")  # doctest: +SKIP
        31.4
    """
    from qaclims_path.pipeline.inference.inputs import SegmentInputs
    from qaclims_path.pipeline.inference.segment import segment as label

    kind = tissue if tissue in ("otsu", "none") else "file"
    chosen = read(SegmentOptions, options, "segment", tissue=kind)
    work = read(ComputeOptions, with_shard(options), "segment")
    return label(str(model), SegmentInputs(several(inputs), slide_mpp, tissue), Path(out), chosen, work)


@public(SegmentOptions)
def load_segmenter(model: Where, *, device: str = "auto", **options: Any) -> "ImageSegmenter":  # noqa: ANN401 - the model checks them
    """Load a trained segmenter for images in memory.

    Args:
        model: Folder of a run or of a segmenter, or its name on the hub (`owner/name`).
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        **options: Fields of `SegmentOptions`; precision, mirror images, glass, size and pixel size matter here.

    Examples:
        >>> segmenter = load_segmenter("demo/runs/qa-clims-path")  # doctest: +SKIP
        >>> labels, confidence = segmenter(Image.open("tile.png"))  # doctest: +SKIP
        >>> segmenter.classes[labels[0, 0]]  # doctest: +SKIP
        'tumor'
    """
    from qaclims_path.pipeline.inference.arrays import load_segmenter as load

    return load(str(model), device=device, options=read(SegmentOptions, options, "load_segmenter"))


def _tile_inputs(
    slides: "Where | Iterable[Where]", *, labels: Where | None, roi: Where | None, tissue: str, slide_mpp: float | None
) -> "TileInputs":
    from qaclims_path.pipeline.tiling.tile import TileInputs

    return TileInputs(several(slides), slide_mpp, optional(labels), optional(roi), tissue)


def _tile_options(
    options: dict[str, Any],
    mpp: float | None,
    magnification: float | None,
    stride: float | None,
    overlap: float | None,
    tissue: str,
) -> TileOptions:
    from qaclims_path.slides.grid import mpp_of, stride_of

    size = options.get("size", TileOptions.model_fields["size"].default)
    kind = tissue if tissue in ("otsu", "none") else "file"
    side = stride_of(size, stride, overlap)
    return read(TileOptions, options, "tile", mpp=mpp_of(mpp, magnification), stride=side, tissue=kind)
