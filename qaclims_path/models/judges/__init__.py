"""Judges: frozen vision-language models that compare image regions with texts.

A family is a function from a `Source` to `Towers` (see `frozen.py`), registered in `JUDGES` or under the entry-point
group `qaclims_path.judges`; `docs/judges.md` shows one in 30 lines.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qaclims_path.assets import EMBEDDED, embedded_model
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import (
    HUB,
    LOCAL,
    SAFE_FILES,
    check_name,
    in_cache,
    loading,
    model_name,
    resolve,
    revision_of,
)
from qaclims_path.models.names import check_file
from qaclims_path.registry import Registry, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from qaclims_path.compute.regions import Fill, Mode
    from qaclims_path.models.judges.frozen import Dtype, FrozenJudge, Towers
    from qaclims_path.types import Judge

FILES = (*SAFE_FILES, "*.model")  # SentencePiece vocabularies
PICKLED = (*FILES, "*.bin")  # weights read with `weights_only=True`, if there are no others


@dataclass(frozen=True)
class Source:
    """Source of a judge's files.

    Attributes:
        id: Name of the judge: a hub id, the name of a folder or file, or a name of its family; never a path.
        name: Name that the user gave, without the family.
        folder: Folder of its files; None if its family finds them.
        revision: Commit on the hub, or hash of the files; empty if the family determines it.
    """

    id: str
    name: str
    folder: Path | None = None
    revision: str = ""


JUDGES: "Registry[Callable[[Source], Towers]]" = Registry("family of judges", "qaclims_path.judges")


@JUDGES.add("open_clip")
def _open_clip(source: Source) -> "Towers":
    from qaclims_path.models.judges.open_clip import load_folder, load_named

    return load_named(source) if source.folder is None else load_folder(source, source.folder)


@JUDGES.add("transformers")
def _transformers(source: Source) -> "Towers":
    from qaclims_path.models.judges.transformers import load_folder

    if source.folder is None:
        raise UsageError(f"'{source.name}' is neither a folder nor an id such as owner/name. Check the spelling.")
    return load_folder(source, source.folder)


@JUDGES.add("ovseg")
def _ovseg(source: Source) -> "Towers":
    from qaclims_path.models.judges.ovseg import load_file

    return load_file(Path(source.name).expanduser())


def load_judge(
    id: str,  # noqa: A002 - as models are called everywhere
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: "Dtype" = "auto",
    mode: "Mode" = "soft",
    fill: "Fill" = "zero",
    published_pixels: bool = False,
) -> "FrozenJudge":
    """Load a judge.

    Args:
        id: `owner/name` or `hf-hub:owner/name` on the hub; `local-dir:PATH` or PATH of a folder; `ovseg:FILE`;
            `open_clip:MODEL@TAG` or `open_clip:MODEL@FILE` for a model that open_clip knows by name; `FAMILY:NAME` of
            a plug-in; or `embedded`, the small one for phantoms that ships with the package.
        revision: Branch, tag or commit on the hub.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: Precision; `auto` is bf16 on a GPU (fp16 if it has no bf16), and elsewhere that of the autocast around.
        mode: Way in which a region is masked, see `compute.regions.pixel_weights`.
        fill: Content of the pixels outside a region.
        published_pixels: Pass on the backbone's normalised pixels, as the original code does.

    Examples:
        >>> judge = load_judge("vinid/plip")  # doctest: +SKIP
        >>> judge.encode_texts(["an H&E image of tumor"]).shape  # doctest: +SKIP
        torch.Size([1, 512])
    """
    family, source = _locate(id, revision)  # before torch is imported, which takes seconds
    from qaclims_path.models.judges.frozen import FrozenJudge

    with loading(source.id, f"judge of the family {family}"):
        towers = JUDGES[family](source)
    judge = FrozenJudge(towers, device=device, dtype=dtype, mode=mode, fill=fill, published_pixels=published_pixels)
    _is_a: Judge = judge  # the protocol, checked by mypy
    return judge


def check_judge(id: str) -> None:  # noqa: A002 - as models are called everywhere
    """Refuse an impossible name of a judge, without loading or downloading anything."""
    family, name = _split(id)
    if family == "ovseg":
        check_file(Path(name).expanduser())
    elif id != EMBEDDED and _is_folder_or_hub_id(family, name):
        check_name(name)


def place_of(id: str, revision: str | None = None) -> str:  # noqa: A002 - as models are called everywhere
    """Say in words where a judge would come from, without loading or downloading anything."""
    if id == EMBEDDED:
        return "ships with the package"
    family, name = _split(id)
    if not _is_folder_or_hub_id(family, name):
        return "in a file" if Path(name.rpartition("@")[2]).expanduser().is_file() else f"found by {family}"
    if name.startswith(LOCAL) or (not name.startswith(HUB) and Path(name).expanduser().is_dir()):
        return "in a folder"
    return "in the cache" if in_cache(name, revision) else "not in the cache, will be downloaded"


def _locate(model: str, revision: str | None) -> tuple[str, Source]:
    """Family of a judge, and where to load it from."""
    if model == EMBEDDED:
        folder = _folder(str(embedded_model("judge")), revision)
        return "open_clip", Source(EMBEDDED, EMBEDDED, folder, revision_of(folder, PICKLED))
    family, name = _split(model)
    if not _is_folder_or_hub_id(family, name):
        if revision is not None:
            raise UsageError(f"{model} has no revisions. Leave the revision out.")
        return family, Source(model, name)
    folder = _folder(name, revision)
    source = Source(model_name(name), name, folder, revision_of(folder, PICKLED))
    return family or _family_of(source.id, folder), source


def _split(model: str) -> tuple[str, str]:
    """Split into family and name; the family is empty if the files will tell it."""
    family, colon, name = model.partition(":")
    if not colon or f"{family}:" in (HUB, LOCAL) or Path(model).expanduser().exists():
        return "", model
    if family not in JUDGES:
        raise UsageError(f"'{model}' starts with an unknown family of judges. {suggest(family, list(JUDGES))}")
    return family, name


def _is_folder_or_hub_id(family: str, name: str) -> bool:
    """Return whether a name is a folder or a hub id, rather than a name that only the family knows."""
    if not family or family == "transformers" or name.startswith((HUB, LOCAL)):
        return True
    return family == "open_clip" and "@" not in name and ("/" in name or Path(name).is_dir())


def _folder(name: str, revision: str | None) -> Path:
    """Folder with safetensors if there are any, else with pickles, which are read with `weights_only=True`."""
    try:
        return resolve(name, revision=revision, files=FILES)
    except BadFile:
        return resolve(name, revision=revision, files=PICKLED)


def _family_of(name: str, folder: Path) -> str:
    for marker, family in (("open_clip_config.json", "open_clip"), ("config.json", "transformers")):
        if (folder / marker).is_file():
            return family
    raise BadFile(
        f"{name} holds neither open_clip_config.json (an open_clip model) nor config.json (a transformers model). "
        f"Known families: {', '.join(JUDGES)}."
    )
