"""Inputs of a segmentation: one task per slide or image, and whether it is done."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from qaclims_path.errors import BadFile
from qaclims_path.files.digest import FULL, digest_of_file, digest_of_json
from qaclims_path.files.folders import IMAGE_SUFFIXES
from qaclims_path.files.images import TIFF_SUFFIXES, image_size
from qaclims_path.pipeline.inference.options import MARK, SegmentOptions
from qaclims_path.slides.cohort.slide_list import SlideEntry, collect_slides
from qaclims_path.slides.cohort.state import ended_state, slide_bytes

Kind = Literal["slide", "image"]
LARGEST = 32_000_000  # pixels of an image that is predicted in one piece; larger pictures are read as slides
SLIDES, LABELS, CONFIDENCE = "slides", "labels", "confidence"  # folders of results
OVERLAY, DOUBT = "_overlay.jpg", "_confidence.jpg"  # pictures of a slide, behind its name


@dataclass(frozen=True)
class SegmentInputs:
    """The files to segment.

    Attributes:
        paths: Slides, images, folders of them, or lists as for `qaclims slides tile`.
        slide_mpp: Pixel size in micrometres of files that do not state it.
        tissue: `otsu`, `none`, a mask, a GeoJSON, or a folder of these.
    """

    paths: tuple[str, ...]
    slide_mpp: float | None = None
    tissue: str = "otsu"


@dataclass(frozen=True)
class SegmentTask:
    """One slide or image.

    Attributes:
        entry: Name, path, patient, and pixel size where the list states it.
        kind: `slide` or `image`.
        out: Folder of the results.
        slide_mpp: Pixel size in micrometres, for a file without one.
        tissue: `otsu`, `none`, or a mask.
        fingerprint: Hash of everything that affects the result, except the settings of the folder and the file itself.
    """

    entry: SlideEntry
    kind: Kind
    out: Path
    slide_mpp: float | None = None
    tissue: str = "otsu"
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """Name of the slide or image, and of its files."""
        return self.entry.name

    @property
    def stem(self) -> Path:
        """Path of a slide's files, without their endings."""
        return self.out / SLIDES / self.name

    @property
    def result(self) -> Path:
        """File that is written last."""
        if self.kind == "image":
            return self.out / LABELS / f"{self.name}.png"
        return self.stem.with_name(f"{self.name}_classes.ome.tiff")

    def content(self) -> str | None:
        """Identify the content of the file: by the size of a slide or the hash of an image; None where it is gone."""
        if self.kind == "slide":
            size = slide_bytes(self.entry.path)
            return None if size is None else str(size)
        try:
            return digest_of_file(Path(self.entry.path))
        except OSError:  # reported when it is read, or not needed any more
            return None

    def is_done(self) -> bool:
        """Return whether an earlier run finished it, from the same file."""
        state = ended_state(self.out, self.name, self.fingerprint)
        if state is None or state.status != "done":
            return False
        given, wanted = state.result.get("given_mpp"), None if self.entry.mpp else self.slide_mpp
        known = self.kind == "slide" and given is None  # the slide states its pixel size; an image never does
        if not (known or given == wanted) or not self.result.is_file():
            return False
        return self.content() in (None, state.result.get("content"))


def collect(inputs: SegmentInputs, out: Path, options: SegmentOptions) -> tuple[list[SegmentTask], dict[str, str]]:
    """Collect the tasks by name, and the reason for each file that is skipped, by path."""
    found = collect_slides(inputs.paths, leave_out=out)
    ours = {entry.path for entry in found.slides if _is_ours(Path(entry.path))}
    skipped = found.skipped | dict.fromkeys(sorted(ours), "written by `qaclims segment`")
    entries = [entry for entry in found.slides if entry.path not in ours]
    if not entries:
        raise BadFile(f"{', '.join(inputs.paths)} only holds files that `qaclims segment` wrote. Give the slides.")
    tasks = [SegmentTask(entry, _kind(entry.path, options), out, inputs.slide_mpp, inputs.tissue) for entry in entries]
    return [replace(task, fingerprint=_fingerprint(task, options)) for task in tasks], skipped


def is_picture(path: str) -> bool:
    """Return whether a file is an image that is predicted in one piece: no larger than `LARGEST`, and no pyramid.

    Examples:
        >>> is_picture("case-1.svs")
        False
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in IMAGE_SUFFIXES or not file.is_file():
        return False
    if suffix in TIFF_SUFFIXES and not _is_flat(file):
        return False
    try:
        width, height = image_size(file)
    except BadFile:  # reported when it is read
        return True
    return width * height <= LARGEST


def _kind(path: str, options: SegmentOptions) -> Kind:
    if options.kind != "auto":
        return "slide" if options.kind == "slides" else "image"
    return "image" if is_picture(path) else "slide"


def _is_flat(path: Path) -> bool:
    """Return whether a TIFF holds one picture in strips, as programs for ordinary images write it."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return len(tiff.pages) == 1 and not tiff.pages.first.is_tiled
    except Exception:  # tifffile raises anything on damaged files; reported when it is read
        return False


def _is_ours(path: Path) -> bool:
    return any((parent / MARK).is_file() for parent in path.parents[:2])


def _fingerprint(task: SegmentTask, options: SegmentOptions) -> str:
    """Without the path, because a folder of slides may be moved."""
    entry = {key: value for key, value in asdict(task.entry).items() if key in ("name", "patient", "mpp")}
    known = [task.kind, entry, _hashes(task) if options.tissue == "file" and task.kind == "slide" else []]
    return digest_of_json(known, FULL)


def _hashes(task: SegmentTask) -> Sequence[str]:
    """Return hashes of the files that may be the tissue mask of the slide."""
    tissue = Path(task.tissue)
    files = sorted(tissue.glob(f"{Path(task.entry.path).stem}.*")) if tissue.is_dir() else [tissue]
    return [digest_of_file(file, FULL) for file in files if file.is_file()]
