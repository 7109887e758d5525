"""Import the published answer files of QA-CLIMS as a corpus."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.data.formats.common import class_index, normalised
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.progress import track
from qaclims_path.language.cleaning import published_texts
from qaclims_path.language.corpus import Entry, to_line
from qaclims_path.language.published import published_entries
from qaclims_path.language.questions import KINDS

SHOWN = 10


@dataclass(frozen=True)
class ImportReport:
    """Result of an import.

    Attributes:
        pairs: Number of lines that were written.
        answers: Number of answers in the files about the imported classes.
        kept: Number of answers that the published cleaning keeps.
        unknown: Number of lines that were left out, by label that the card does not have.
    """

    out: str
    images: int
    pairs: int
    answers: int
    kept: int
    unknown: dict[str, int]


def import_published(foreground: Path, background: Path, out: Path, *, card: Card | None = None) -> ImportReport:
    """Read both published files and write a corpus, with the cleaning of the released code.

    Args:
        foreground: Answers about the class, such as `voc_vqa_fg_blip.npy`.
        background: Answers about its surroundings, such as `voc_vqa_bg_blip.npy`.
        out: The corpus, a `.jsonl` file that does not exist yet.
        card: Card whose class names are used; without one the labels stay as they are.

    Examples:
        >>> import_published(Path("fg.npy"), Path("bg.npy"), Path("corpus.jsonl")).images  # doctest: +SKIP
        10582
    """
    if out.suffix != ".jsonl" or out.exists():
        problem = "exists already" if out.exists() else "should end in .jsonl, because a corpus is JSON Lines"
        raise UsageError(f"{out} {problem}. Choose another --out.")
    images: dict[str, None] = {}
    unknown: dict[str, int] = {}
    pairs = answers = kept = 0
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        for entry in _taken(track(published_entries(foreground, background), "importing"), card, unknown):
            file.write(to_line(entry))
            images[entry.image] = None
            pairs += 1
            answers += len(entry.foreground) + len(entry.background)
            kept += sum(len(entry.texts(kind)) for kind in KINDS)
        if not pairs:
            labels = f"; their labels are {', '.join(list(unknown)[:SHOWN])}" if unknown else ""
            raise UsageError(f"{foreground} and {background} hold no answer that can be imported{labels}.")
    return ImportReport(str(out), len(images), pairs, answers, kept, unknown)


def _taken(entries: Iterable[Entry], card: Card | None, unknown: dict[str, int]) -> Iterator[Entry]:
    """Yield cleaned entries with the class names of the card; labels that it does not have are counted and left out."""
    index = None if card is None else class_index(card)
    for entry in entries:
        label = entry.label
        if card is not None and index is not None:
            if normalised(label) not in index:
                unknown[label] = unknown.get(label, 0) + 1
                continue
            label = card.names[index[normalised(label)]]
        yield replace(_cleaned(entry), label=label)


def _cleaned(entry: Entry) -> Entry:
    for kind in KINDS:
        said = entry.answers(kind)
        texts = published_texts([one.text for one in said], entry.label, kind)
        entry = entry.with_answers(kind, tuple(replace(one, text=text) for one, text in zip(said, texts, strict=True)))
    return entry
