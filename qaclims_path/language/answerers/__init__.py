"""Answerers answer questions about images. Other packages add theirs under `qaclims_path.answerers`.

May import the rest of language and the modules that language may import; heavy libraries only when an answerer is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from qaclims_path.errors import UsageError
from qaclims_path.registry import Registry
from qaclims_path.types import Answerer, Judge

if TYPE_CHECKING:
    from qaclims_path.language.lexicon import Lexicon
    from qaclims_path.language.questions import QuestionBank

T = TypeVar("T")
Decoding = Literal["greedy", "released"]


@dataclass(frozen=True)
class Setup:
    """Options of all answerers; each uses its own.

    Attributes:
        model: Hub id or folder of a model; for `file` the corpus, or both published files as `FG.npy,BG.npy`.
        revision: Revision of a model on the hub.
        device: Device such as `cpu` or `cuda:1`; `auto` is the accelerator if there is one.
        dtype: `float32`, `bfloat16` or `float16`; `auto` is bfloat16 on a GPU with bf16 arithmetic, else float32.
        batch: Images in a batch.
        size: Side of the square to which images are resized, in pixels; the model's own if None.
        decoding: `greedy`, or `released` for BLIP as QA-CLIMS asks it.
        bank: Question bank with the system text of chat models and the templates of judges.
        lexicon: Terms for retrieval.
        organ: Organ of the terms.
        judge: Ranks the terms.
    """

    model: str | None = None
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch: int = 8
    size: int | None = None
    decoding: Decoding = "greedy"
    bank: "QuestionBank | None" = None
    lexicon: "Lexicon | None" = None
    organ: str | None = None
    judge: Judge | None = None

    def __post_init__(self) -> None:
        if self.batch < 1 or (self.size is not None and self.size < 1):
            size = self.size or "any"
            raise UsageError(f"A batch of {self.batch} images of {size} pixels is impossible. Give positive numbers.")


ANSWERERS: Registry[Callable[[Setup], Answerer]] = Registry("answerer", "qaclims_path.answerers")


def load_answerer(name: str, setup: Setup) -> Answerer:
    """Make an answerer by the name of its kind: `blip`, `chat`, `retrieval`, `file`, or one of a plug-in.

    Examples:
        >>> load_answerer("blip", Setup(model="Salesforce/blip-vqa-base"))  # doctest: +SKIP
    """
    return ANSWERERS[name](setup)


@ANSWERERS.add("blip")
def _blip(setup: Setup) -> Answerer:
    from qaclims_path.language.answerers.blip import BlipAnswerer

    return BlipAnswerer.load(
        _required(setup.model, "blip", "a model such as Salesforce/blip-vqa-base"),
        revision=setup.revision,
        device=setup.device,
        dtype=setup.dtype,
        batch=setup.batch,
        size=setup.size,
        decoding=setup.decoding,
    )


@ANSWERERS.add("chat")
def _chat(setup: Setup) -> Answerer:
    from qaclims_path.language.answerers.chat import ChatAnswerer

    return ChatAnswerer.load(
        _required(setup.model, "chat", "a model such as google/medgemma-4b-it"),
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
        _required(setup.judge, "retrieval", "a judge that ranks the terms"),
        _required(setup.lexicon, "retrieval", "a lexicon of terms"),
        templates=setup.bank.templates if setup.bank else ("{}",),
        organ=setup.organ,
        batch=setup.batch,
    )


@ANSWERERS.add("file")
def _file(setup: Setup) -> Answerer:
    from qaclims_path.language.answerers.file import FileAnswerer

    return FileAnswerer.read(_required(setup.model, "file", "a corpus, or both published files as FG.npy,BG.npy"))


def _required(value: T | None, name: str, what: str) -> T:
    if value is None:
        raise UsageError(f"The answerer '{name}' needs {what}.")
    return value
