"""Answerers: whatever answers questions about images. Other packages add theirs under `qaclims_path.answerers`.

May import the rest of language and what that may import; heavy libraries only when an answerer is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from qaclims_path.errors import UsageError
from qaclims_path.registry import Registry
from qaclims_path.types import Answerer, Judge

if TYPE_CHECKING:
    from qaclims_path.language.lexicon import Lexicon
    from qaclims_path.language.questions import QuestionBank

T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """All that an answerer can be made from; each takes what it needs.

    Attributes:
        model: Hub id or folder of a model; for `file` the corpus, or both published files as `FG.npy,BG.npy`.
        revision: Of a model on the hub.
        device: Such as `cpu` or `cuda:1`; `auto` takes an accelerator where there is one.
        dtype: `float32`, `bfloat16` or `float16`; `auto` takes bfloat16 where it pays.
        batch: Images that are looked at together.
        size: Side of the square that images are resized to, in pixels; the model's own where it is None.
        bank: Whose text for chat models and templates for judges are used.
        lexicon: Terms to choose from.
        organ: Whose terms are chosen from.
        judge: Ranks terms.
    """

    model: str | None = None
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch: int = 8
    size: int | None = None
    bank: "QuestionBank | None" = None
    lexicon: "Lexicon | None" = None
    organ: str | None = None
    judge: Judge | None = None


ANSWERERS: Registry[Callable[[Setup], Answerer]] = Registry("answerer", "qaclims_path.answerers")


def load_answerer(
    name: str,
    *,
    model: str | None = None,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch: int = 8,
    size: int | None = None,
    bank: "QuestionBank | None" = None,
    lexicon: "Lexicon | None" = None,
    organ: str | None = None,
    judge: Judge | None = None,
) -> Answerer:
    """Make an answerer by the name of its kind: `blip`, `chat`, `retrieval`, `file`, or one of a plug-in.

    The arguments are explained at `Setup`.

    Example:
        >>> load_answerer("blip", model="Salesforce/blip-vqa-base")  # doctest: +SKIP
    """
    if batch < 1 or (size is not None and size < 1):
        raise UsageError(f"A batch of {batch} images of {size or 'any'} pixels is not possible. Give positive numbers.")
    setup = Setup(model, revision, device, dtype, batch, size, bank, lexicon, organ, judge)
    return ANSWERERS[name](setup)


@ANSWERERS.add("blip")
def _blip(setup: Setup) -> Answerer:
    from qaclims_path.language.answerers.blip import BlipAnswerer

    return BlipAnswerer.load(
        _given(setup.model, "blip", "a model such as Salesforce/blip-vqa-base"),
        revision=setup.revision,
        device=setup.device,
        dtype=setup.dtype,
        batch=setup.batch,
        size=setup.size,
    )


@ANSWERERS.add("chat")
def _chat(setup: Setup) -> Answerer:
    from qaclims_path.language.answerers.chat import ChatAnswerer

    return ChatAnswerer.load(
        _given(setup.model, "chat", "a model such as google/medgemma-4b-it"),
        revision=setup.revision,
        device=setup.device,
        dtype=setup.dtype,
        batch=setup.batch,
        system=setup.bank.system if setup.bank else "",
    )


@ANSWERERS.add("retrieval")
def _retrieval(setup: Setup) -> Answerer:
    from qaclims_path.language.answerers.retrieval import RetrievalAnswerer

    return RetrievalAnswerer(
        _given(setup.judge, "retrieval", "a judge that ranks the terms"),
        _given(setup.lexicon, "retrieval", "a lexicon of terms"),
        templates=setup.bank.templates if setup.bank else ("{}",),
        organ=setup.organ,
        batch=setup.batch,
    )


@ANSWERERS.add("file")
def _file(setup: Setup) -> Answerer:
    from qaclims_path.language.answerers.file import FileAnswerer

    return FileAnswerer.read(_given(setup.model, "file", "a corpus, or both published files as FG.npy,BG.npy"))


def _given(value: T | None, name: str, what: str) -> T:
    if value is None:
        raise UsageError(f"The answerer '{name}' needs {what}.")
    return value
