"""Collect slides from files, DICOM folders, other folders or a CSV, and name each.

A slide's name is that of its file without suffix; where two would be the same, the folders above become part of it.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qaclims_path.errors import BadFile
from qaclims_path.files.numbers import parse_number
from qaclims_path.files.tables import read_csv
from qaclims_path.registry import suggest

SUFFIXES = (".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".vms", ".vmu", ".scn", ".bif", ".svslide")
PICTURES = (".png", ".jpg", ".jpeg")
COLUMNS = ("slide", "patient", "mpp", "split", "labels", "name", "stain")
SPLITS = ("train", "val", "test")
TILED = "tiling.json"  # note in a folder of tiles
PALETTE = 3  # photometric interpretation of a TIFF whose pixels are codes


@dataclass(frozen=True)
class SlideEntry:
    """One slide to work on.

    Attributes:
        name: Name, unique in its list and valid as a file name.
        path: A file, a DICOM folder, or an address that fsspec knows.
        patient: Patient of the slide.
        mpp: Pixel size of the full resolution in micrometres, where it replaces that of the file.
        split: `train`, `val` or `test` where the list states it, else empty.
        labels: Classes of the whole slide separated by `;`, or the path of a GeoJSON, where the list states them.
        stain: Stain where the list states it, such as `H&E`.
    """

    name: str
    path: str
    patient: str = ""
    mpp: float | None = None
    split: str = ""
    labels: str = ""
    stain: str = ""


@dataclass(frozen=True)
class SlideList:
    """Slides sorted by name, and the reason for each path that was skipped."""

    slides: tuple[SlideEntry, ...]
    skipped: dict[str, str]


def collect_slides(paths: Sequence[str], *, leave_out: Path | None = None) -> SlideList:
    """Find the slides in files, DICOM folders, folders and slide lists (`.csv`).

    Args:
        paths: Files, folders and lists that the user named.
        leave_out: A folder to skip, such as that of the results.

    Examples:
        >>> [slide.name for slide in collect_slides(["slides"]).slides]  # doctest: +SKIP
        ['case-1', 'case-2']
    """
    found: list[SlideEntry] = []
    skipped: dict[str, str] = {}
    for named in paths:
        path = Path(named)
        if "://" in named:
            found.append(SlideEntry("", named))
        elif path.suffix.lower() == ".csv":
            found += read_slide_list(path)
        elif path.is_dir():
            found += _in_folder(path, skipped, leave_out)
        elif path.is_file():
            found.append(SlideEntry("", str(path.absolute())))
        else:
            raise BadFile(f"{named} does not exist. Give a slide, a DICOM folder, a folder of slides or a .csv list.")
    unique = {entry.path: entry for entry in found}
    if not unique:
        reasons = "; ".join(f"{Path(name).name}: {reason}" for name, reason in list(skipped.items())[:3])
        raise BadFile(f"There is no slide in {', '.join(paths)}{f' ({reasons})' if reasons else ''}.")
    slides = _named(list(unique.values()))
    filled = (replace(entry, patient=entry.patient or entry.name) for entry in slides)
    return SlideList(tuple(sorted(filled, key=lambda entry: entry.name)), skipped)


def read_slide_list(path: Path) -> list[SlideEntry]:
    """Read a CSV with the column `slide` and any of `patient`, `mpp`, `split`, `labels`, `name`, `stain`.

    Paths are relative to the CSV. A slide that does not exist fails later, alone.
    """
    entries: list[SlideEntry] = []
    for line, row in enumerate(read_csv(path, ["slide"]), start=2):
        unknown = next((column for column in row if column not in COLUMNS), None)
        if unknown is not None:
            raise BadFile(f"{path} has the unknown column '{unknown}'. {suggest(unknown, list(COLUMNS))}")
        if not row["slide"]:
            raise BadFile(f"{path}, line {line}: the column 'slide' is empty.")
        entries.append(_entry(path, line, row))
    if not entries:
        raise BadFile(f"{path} lists no slide. Give one row per slide, under the columns {', '.join(COLUMNS[:5])}.")
    for column, values in (("slide", [e.path for e in entries]), ("name", [e.name for e in entries if e.name])):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise BadFile(f"{path} lists the {column} {twice} twice. Keep one row per slide.")
    return entries


def read_rows(path: Path) -> dict[str, SlideEntry]:
    """Read a list that a tiling has written, by slide name."""
    return {entry.name: entry for entry in read_slide_list(path)}


def _entry(path: Path, line: int, row: dict[str, str]) -> SlideEntry:
    slide = row["slide"] if "://" in row["slide"] else str((path.parent / row["slide"]).absolute())
    mpp, split = row.get("mpp", ""), row.get("split", "")
    if split and split not in SPLITS:
        raise BadFile(f"{path}, line {line}: there is no split '{split}'. {suggest(split, list(SPLITS))}")
    labels = row.get("labels", "")
    if labels.lower().endswith((".geojson", ".json", ".geojson.gz")):
        labels = str((path.parent / labels).absolute())
    name = row.get("name", "")
    if name != _safe(name):
        raise BadFile(f"{path}, line {line}: the name '{name}' is not valid for a file. Try '{_safe(name)}'.")
    stain = row.get("stain", "")
    return SlideEntry(name, slide, row.get("patient", ""), _pixel_size(path, line, mpp), split, labels, stain)


def _pixel_size(path: Path, line: int, text: str) -> float | None:
    if not text:
        return None
    value = parse_number(text)
    if value is None or not 0 < value < 1000:
        raise BadFile(f"{path}, line {line}: mpp is '{text}'; it should be micrometres per pixel, such as 0.25.")
    return value


def _in_folder(folder: Path, skipped: dict[str, str], leave_out: Path | None) -> Iterator[SlideEntry]:
    """Yield the slides below a folder, in a stable order; hidden files are ignored."""
    for parent, folders, files in os.walk(folder.absolute()):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if here == (leave_out and leave_out.absolute()) or TILED in files:
            folders.clear()
            skipped[str(here)] = "it holds tiles of an earlier run"
            continue
        for name in folders:
            if (here / name).is_symlink():
                skipped[str(here / name)] = "a link to a folder is not followed; name the folder itself"
        names = sorted(name for name in files if not name.startswith("."))
        yield from _dicom_in(here, names)
        for name in names:
            reason = _reason_against(here / name, names)
            if reason == "":
                yield SlideEntry("", str(here / name))
            elif reason is not None:
                skipped[str(here / name)] = reason


def _dicom_in(folder: Path, names: Sequence[str]) -> Iterator[SlideEntry]:
    """Yield one slide per DICOM series: the folder itself where it holds only one."""
    from qaclims_path.slides.readers.dicom import instances_in

    if not any(_may_be_dicom(name) for name in names):
        return
    try:
        series = instances_in(folder)
    except OSError as error:
        raise BadFile(f"{folder} cannot be listed: {error.strerror or error}.") from error
    for files in series.values():
        yield SlideEntry("", str(folder if len(series) == 1 else files[0]))


def _may_be_dicom(name: str) -> bool:
    return Path(name).suffix.lower() in (".dcm", "") or name.replace(".", "").isdigit()


def _reason_against(path: Path, names: Sequence[str]) -> str | None:
    """Reason why a file is not a slide; empty for a slide, None for a DICOM file, which belongs to a series."""
    suffix = path.suffix.lower()
    if _may_be_dicom(path.name):
        try:
            with path.open("rb") as file:
                is_dicom = file.read(132)[128:] == b"DICM"
        except OSError as error:
            return f"it cannot be opened: {error.strerror or error}"
        return None if is_dicom else "not a slide format that is read here"
    if suffix in PICTURES and any(name.lower().endswith((".vms", ".vmu")) for name in names):
        return "part of a Hamamatsu slide"
    if suffix not in (*SUFFIXES, *PICTURES):
        return "not a slide format that is read here"
    if suffix in (".tif", ".tiff") and _holds_codes(path):
        return "its pixels are codes with a palette, such as a mask, not colours"
    return ""


def _holds_codes(path: Path) -> bool:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return int(tiff.pages.first.photometric) == PALETTE
    except Exception:  # a damaged file is reported when it is opened as a slide
        return False


def _named(entries: list[SlideEntry]) -> Iterator[SlideEntry]:
    """Give every slide without a name the shortest unique one, ignoring case."""
    taken = {entry.name.casefold() for entry in entries if entry.name}
    yield from (entry for entry in entries if entry.name)
    waiting = [entry for entry in entries if not entry.name]
    for depth in range(max((len(Path(entry.path).parts) for entry in waiting), default=0) + 1):
        groups: dict[str, list[SlideEntry]] = defaultdict(list)
        for entry in waiting:
            groups[_name_at(entry.path, depth).casefold()].append(entry)
        waiting = []
        for key, group in groups.items():
            if len(group) == 1 and key not in taken:
                taken.add(key)
                yield replace(group[0], name=_name_at(group[0].path, depth))
            else:
                waiting += group
    for number, entry in enumerate(waiting, start=2):  # names that only differ in characters that are invalid in files
        yield replace(entry, name=f"{_name_at(entry.path, 0)}-{number}")


def _name_at(path: str, depth: int) -> str:
    """Name with `depth` levels of context: first the suffix, then the folders above."""
    parts = Path(path.rpartition("://")[2]).parts
    last = parts[-1] if depth else (Path(parts[-1]).stem or parts[-1])
    return _safe("_".join([*parts[max(1, len(parts) - depth) : -1], last] if depth else [last]))


def _safe(name: str) -> str:
    """Replace characters that are invalid in file names; no leading dot."""
    return re.sub(r"[^\w.+=@-]", "_", unicodedata.normalize("NFC", name)).lstrip(".")
