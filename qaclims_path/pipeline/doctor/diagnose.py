"""Check of this machine: what works, what is missing, and the command that installs it."""

import os
import platform
import shutil
import socket
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from qaclims_path.assets import EMBEDDED_WEIGHTS, asset_dir, embedded_dir, install_command
from qaclims_path.files.cores import usable_cores
from qaclims_path.pipeline.doctor.finding import Finding, State, tried
from qaclims_path.pipeline.doctor.hardware import hardware
from qaclims_path.version import __version__

LIBRARIES = (
    *("torch", "torchvision", "monai", "transformers", "open_clip_torch", "timm", "segmentation-models-pytorch"),
    *("lightning-fabric", "openslide-python", "openslide-bin", "tiffslide", "tifffile", "imagecodecs"),
    *("numpy", "scipy", "scikit-image", "numba", "shapely", "pycocotools", "safetensors", "huggingface_hub"),
    *("pydantic", "pyyaml", "typer", "rich", "jinja2", "matplotlib", "pillow", "tensorboard", "simplemma"),
)
EXTRAS = {"dicom": "wsidicom", "parquet": "pyarrow", "ray": "ray"}
HUB = ("huggingface.co", 443)
HUB_TIMEOUT_S = 2.0
LOW_DISK_GB = 10
REINSTALL = "pip install --force-reinstall {}"


@dataclass(frozen=True)
class Diagnosis:
    """All findings; healthy when none is broken."""

    version: str
    healthy: bool
    findings: tuple[Finding, ...] = field(default_factory=tuple)


def diagnose() -> Diagnosis:
    """Run all checks; this takes seconds, because every reader opens a file."""
    findings = [
        *_system(),
        *(_library(name) for name in LIBRARIES),
        *_data(),
        *_readers(),
        *hardware(),
        *(_extra(extra, module) for extra, module in EXTRAS.items()),
        _disk(),
        _hub(),
        *_embedded(),
    ]
    healthy = not any(finding.state == "broken" for finding in findings)
    return Diagnosis(__version__, healthy, tuple(findings))


def _system() -> list[Finding]:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {usable_cores()} cores"
    return [Finding("system", "python", "ok", detail), Finding("system", "qaclims_path", "ok", __version__)]


def _library(name: str) -> Finding:
    try:
        return Finding("libraries", name, "ok", version(name))
    except PackageNotFoundError:
        return Finding("libraries", name, "broken", "not installed", f"pip install {name}")


def _data() -> list[Finding]:
    cards = len(list(asset_dir("datasets").glob("*/card.yaml")))
    state: State = "ok" if cards else "broken"
    remedy = "" if cards else "pip install --force-reinstall qaclims-path"
    findings = [Finding("data", "dataset cards", state, f"{cards} found in {asset_dir('datasets')}", remedy)]
    own = os.environ.get("QACLIMS_DATASETS")
    if own:
        findings.append(Finding("data", "QACLIMS_DATASETS", "note", own))
    return findings


def _readers() -> list[Finding]:
    """Let every reader open a small tiled TIFF, so that a broken library shows before a run needs it."""

    def openslide(path: Path) -> str:
        import openslide as library

        with library.OpenSlide(str(path)) as slide:
            _grey(slide.read_region((0, 0), 0, (16, 16)).convert("RGB"))
        return f"OpenSlide {library.__library_version__}: SVS, NDPI, MRXS, SCN, BIF, generic TIFF, DICOM"

    def tiffslide(path: Path) -> str:
        import tiffslide as library

        with library.TiffSlide(path) as slide:
            _grey(slide.read_region((0, 0), 0, (16, 16)))
        return f"tiffslide {version('tiffslide')}: pure Python, remote files"

    def direct_tiff(path: Path) -> str:
        import imagecodecs
        import tifffile

        _grey(tifffile.imread(path))
        return f"tifffile {tifffile.__version__} with imagecodecs {imagecodecs.__version__}"

    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "grey.tiff"
        made = tried("readers", "TIFF writing", lambda: _write_grey(slide), REINSTALL.format("tifffile imagecodecs"))
        return [
            made,
            tried("readers", "OpenSlide", lambda: openslide(slide), REINSTALL.format("openslide-python openslide-bin")),
            tried("readers", "tiffslide", lambda: tiffslide(slide), REINSTALL.format("tiffslide")),
            tried("readers", "direct TIFF", lambda: direct_tiff(slide), REINSTALL.format("tifffile imagecodecs")),
            _dicom(),
        ]


def _write_grey(path: Path) -> str:
    import numpy as np
    import tifffile

    tifffile.imwrite(
        path,
        np.full((256, 256, 3), 128, np.uint8),
        tile=(128, 128),
        photometric="rgb",
        compression="jpeg",
        metadata=None,
    )
    return "tiled JPEG TIFF"


def _grey(pixels: object) -> None:
    import numpy as np

    if not np.allclose(np.asarray(pixels), 128, atol=4):
        raise ValueError("the pixels read are not those written")


def _dicom() -> Finding:
    if find_spec("wsidicom"):
        return Finding("readers", "DICOM", "ok", "OpenSlide, and wsidicom for files that it refuses")
    remedy = install_command("dicom")
    return Finding("readers", "DICOM", "note", "OpenSlide reads most; the extra reads the rest", remedy)


def _extra(extra: str, module: str) -> Finding:
    if find_spec(module):
        return Finding("extras", extra, "ok", f"{module} {version(module)}")
    return Finding("extras", extra, "missing", f"{module} is not installed", install_command(extra))


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    detail = f"{free:.0f} GB free in {Path.cwd()}"
    low = free < LOW_DISK_GB
    return Finding("system", "disk", "note" if low else "ok", detail, "free some space, or give --out" if low else "")


def _hub() -> Finding:
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    if offline:
        return Finding("hub", "model hub", "note", "offline, because HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
    try:
        socket.create_connection(HUB, timeout=HUB_TIMEOUT_S).close()
    except OSError:
        remedy = "name models by a local folder instead of a hub id"
        return Finding("hub", "model hub", "note", f"{HUB[0]} cannot be reached", remedy)
    return Finding("hub", "model hub", "ok", f"{HUB[0]} can be reached")


def _embedded() -> list[Finding]:
    """Look for the small models of the package."""
    findings = []
    for name, weights in EMBEDDED_WEIGHTS.items():
        path = embedded_dir() / name / weights
        if path.is_file():
            detail = f"{path.stat().st_size / 1e6:.1f} MB, for demonstration and tests, not for tissue"
            findings.append(Finding("embedded models", name, "ok", detail))
        else:
            remedy = "pip install --force-reinstall qaclims-path"
            findings.append(Finding("embedded models", name, "missing", f"no {path.name} in {path.parent}", remedy))
    return findings
