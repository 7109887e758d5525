"""Find models by name: a hub id or a local folder becomes a local folder whose files cannot execute code.

Downloads go to the hub client's own cache, so a model is fetched once and found again with `HF_HUB_OFFLINE=1`.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from qaclims_path.assets import EMBEDDED
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.digest import FULL, digest_of, digest_of_file
from qaclims_path.files.folders import list_files

SAFE_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja")  # weights, settings, vocabularies, chat templates
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
HUB, LOCAL = "hf-hub:", "local-dir:"
_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def resolve(model: str, *, revision: str | None = None, files: Sequence[str] = SAFE_FILES) -> Path:
    """Find the folder of a model, downloading it where it is a hub id that the cache does not hold.

    Args:
        model: `owner/name` or `hf-hub:owner/name` on the hub; `local-dir:PATH` or PATH of a folder.
        revision: Branch, tag or commit on the hub; a local folder has none.
        files: Patterns of the file names that are wanted, in the top folder only. A caller that adds a pattern
            for pickled weights must read them with `weights_only=True`.

    Examples:
        >>> resolve("Salesforce/blip-vqa-base", revision="main")  # doctest: +SKIP
        PosixPath('.../snapshots/787b3d35d57e49572baabd22884b3d5a05acf072')
    """
    folder = _local(model)
    if folder is None:
        folder = _download(hub_id(model), revision, files)
    elif revision is not None:
        raise UsageError(f"{model} is a folder and has no revision '{revision}'. Leave the revision out.")
    wanted = [pattern for pattern in files if pattern.endswith(WEIGHTS)]
    if wanted and not _matching(folder, wanted):
        raise BadFile(_without_weights(model, folder))
    return folder


def check_name(model: str) -> None:
    """Refuse a name that is neither a folder nor a hub id; the hub is not contacted.

    Examples:
        >>> check_name("hf-hub:vinid/plip")
    """
    if _local(model) is None:
        hub_id(model)


def in_cache(model: str, revision: str | None = None) -> bool:
    """Return whether the cache holds weights of a model of the hub, which is not contacted."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{hub_id(model).replace('/', '--')}"
    branch = folder / "refs" / (revision or "main")
    commit = branch.read_text(encoding="utf-8").strip() if branch.is_file() else revision or "main"
    return any(path.suffix in WEIGHTS for path in (folder / "snapshots" / commit).glob("*"))


def model_name(model: str) -> str:
    """Name of a model for files: its hub id or the name of its folder, never the path.

    Examples:
        >>> model_name("hf-hub:vinid/plip"), model_name("local-dir:/home/me/judge")
        ('vinid/plip', 'judge')
    """
    folder = Path(model.removeprefix(LOCAL)).expanduser()
    local = model.startswith(LOCAL) or (not model.startswith(HUB) and folder.is_dir())
    return folder.resolve().name if local else hub_id(model)


def hub_id(model: str) -> str:
    """Return the `owner/name` of a hub id; anything else is wrong use."""
    name = model.removeprefix(HUB)
    if not _ID.fullmatch(name):
        raise UsageError(f"'{model}' is neither a folder nor an id such as owner/name. Check the spelling or the path.")
    return name


def revision_of(folder: Path, files: Sequence[str] = SAFE_FILES) -> str:
    """Return the commit of a folder in the hub cache, else a hash of its files, so that a change is noticed.

    Examples:
        >>> revision_of(Path("judge"))  # doctest: +SKIP
        'sha256:5f7c1d0e2b9a4c33'
    """
    if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
        return folder.name
    lines = (f"{path.name}\0{digest_of_file(path, FULL)}\n" for path in _matching(folder, files))
    return f"sha256:{digest_of(*lines)}"


def require_tokenizer(model: str, folder: Path) -> None:
    """Refuse the folder of a text model that has no tokenizer."""
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise BadFile(
            f"{model} has no tokenizer (one of {', '.join(TOKENIZERS[:3])}). Save the tokenizer or processor into the "
            "same folder with its `save_pretrained`."
        )


@contextmanager
def loading(model: str, what: str) -> Iterator[None]:
    """Turn any error of a library that loads a model into one sentence.

    Examples:
        >>> with loading("some/model", "BLIP model"):  # doctest: +ELLIPSIS
        ...     raise ValueError("no vision_config")
        Traceback (most recent call last):
        qaclims_path.errors.BadFile: some/model cannot be loaded as a BLIP model: no vision_config. Check that ...
    """
    try:
        yield
    except (QaclimsError, MemoryError):
        raise
    except Exception as error:  # libraries raise anything on a damaged or foreign file
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise BadFile(
            f"{model} cannot be loaded as a {what}: {first}. Check that it is one, and that it was copied completely."
        ) from error


def load_pretrained(
    kind: Any,  # noqa: ANN401 - any class of transformers, whose own types say no more
    model: str,
    folder: Path,
    what: str,
    **options: Any,  # noqa: ANN401 - its options
) -> Any:  # noqa: ANN401
    """Load a model through transformers' `from_pretrained`: safetensors only, no remote code, no missing weight.

    Args:
        kind: Model class, such as `BlipForQuestionAnswering`.
        model: Name that the user gave, for messages.
        folder: Folder of the model.
        what: Kind of model, for messages.
        options: Passed on, such as `dtype`.
    """
    with loading(model, what), _quiet():
        loaded, info = kind.from_pretrained(
            folder,
            output_loading_info=True,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **options,
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise BadFile(
            f"{model} is not a {what}: its weights lack {len(missing)} tensors, such as {missing[0]}. Give a model "
            "that was trained as one."
        )
    return loaded.eval().requires_grad_(requires_grad=False)


def load_processor(model: str, folder: Path, what: str) -> Any:  # noqa: ANN401 - as above
    """Load the preprocessing of images and texts through transformers' `AutoProcessor`."""
    from transformers import AutoProcessor

    require_tokenizer(model, folder)
    kind: Any = AutoProcessor
    with loading(model, what):
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and tables of transformers; missing weights become an error of ours."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _local(model: str) -> Path | None:
    """Return the local folder, or None for a hub id."""
    if model.startswith(HUB):
        return None
    named = model.startswith(LOCAL)
    folder = Path(model.removeprefix(LOCAL)).expanduser()
    if folder.is_dir() and model not in ("", LOCAL):
        return folder
    if named or not _ID.fullmatch(model):
        where = f"The model folder '{model.removeprefix(LOCAL)}'"
        problem = "is a file, not a folder" if folder.is_file() else "does not exist"
        meant = f"Did you mean '{EMBEDDED}'? " if get_close_matches(model, [EMBEDDED]) else ""
        raise BadFile(f"{where} {problem}. {meant}Give a folder, or an id such as owner/name on the hub.")
    return None


def _matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    names = [name for name in list_files(folder, ("",)) if any(fnmatch(name, pattern) for pattern in patterns)]
    return [folder / name for name in names if (folder / name).is_file()]


def _without_weights(model: str, folder: Path) -> str:
    pickled = [path.name for path in _matching(folder, [f"*{suffix}" for suffix in WEIGHTS[1:]])]
    if pickled:
        return (
            f"{model} has only pickled weights ({pickled[0]}), which are not read because a pickle can run code. "
            "Convert them to safetensors."
        )
    return (
        f"{model} has no safetensors weights. Give a folder or revision that has them (on the hub a conversion often "
        "waits as revision refs/pr/1)."
    )


def _download(name: str, revision: str | None, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    with _explained(name, revision):
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(files), ignore_patterns=["*/*"]))


@contextmanager
def _explained(name: str, revision: str | None) -> Iterator[None]:
    """Turn every failure of a download into a sentence with the way out."""
    from huggingface_hub import constants, errors, get_token

    token = "the account of your token" if get_token() else "an account, and no token was found"
    try:
        yield
    except errors.GatedRepoError as error:
        raise QaclimsError(
            f"{name} is gated: its terms must be accepted by {token}. Open the model's page on the hub, accept the "
            "terms, then put a token of that account that may read into HF_TOKEN, or run `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UsageError(f"{name} has no revision '{revision}'. Give a branch, tag or commit of it.") from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"There is no model {name} on the hub, or it is private. Check the spelling; for a private model put a "
            "token into HF_TOKEN, or run `hf auth login`."
        ) from error
    except errors.IncompleteSnapshotError as error:
        raise QaclimsError(
            f"{name} is only partly in the cache, and the rest cannot be fetched now. Run once with a connection and "
            "without HF_HUB_OFFLINE, or give a complete local folder."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        at = f" at revision '{revision}'" if revision else ""
        raise QaclimsError(
            f"{name}{at} is not in the cache ({constants.HF_HUB_CACHE}), and {why}. Fetch it where there is a "
            "connection and copy the cache, or give a local folder of the model."
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"'{name}' is not an id of the hub: {str(error).splitlines()[0]}") from error
    except (errors.HfHubHTTPError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise QaclimsError(f"{name} could not be fetched: {first} Try again later, or give a local folder.") from error
