"""The published answer files of QA-CLIMS: two `.npy` files, about the classes and about what surrounds them.

Each holds `{image: {label: {'vqa': [(question, raw answer), ...], 'answers': [lemma, ...]}}}` as a pickle, and is read
by the restricted reader, which executes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from qaclims_path.errors import BadFile
from qaclims_path.files.digest import digest_of
from qaclims_path.files.folders import IMAGE_SUFFIXES
from qaclims_path.files.npy import read_npy
from qaclims_path.language.corpus import Entry, Said, printable

Table = dict[str, dict[str, tuple[Said, ...]]]


def published_entries(foreground: Path, background: Path) -> Iterator[Entry]:
    """Entries of both files in the order of the first; the texts are the published lemmas, not yet repaired.

    Example:
        >>> next(published_entries(Path("voc_vqa_fg_blip.npy"), Path("voc_vqa_bg_blip.npy"))).key  # doctest: +SKIP
        ('2007_000032', 'aeroplane')
    """
    about, around = read_published(foreground), read_published(background)
    revision = digest_of(foreground.read_bytes(), background.read_bytes(), digits=12)
    provenance = {"answerer": "published", "model": f"{foreground.name} and {background.name}", "revision": revision}
    for image in {**about, **around}:
        first, second = about.get(image, {}), around.get(image, {})
        for label in {**first, **second}:
            yield Entry(image, label, first.get(label, ()), second.get(label, ()), provenance)


def read_published(path: Path) -> Table:
    """One published file: what was said, by image and label.

    Raises:
        BadFile: It is damaged, of another kind, or wants to execute something.
    """
    table = read_npy(path)
    if isinstance(table, Mapping) and {"profile", "feats"} <= table.keys():
        raise _strange(path, "holds features of texts")
    if not isinstance(table, Mapping) or not table:
        raise _strange(path, "holds no answers")
    return {_image(name): _labels(path, name, labels) for name, labels in table.items()}


def _labels(path: Path, name: object, labels: object) -> dict[str, tuple[Said, ...]]:
    if not isinstance(labels, Mapping):
        raise _strange(path, f"has no labels for the image {printable(str(name))!r}")
    return {printable(str(label)): _answers(path, name, found) for label, found in labels.items()}


def _answers(path: Path, name: object, found: object) -> tuple[Said, ...]:
    where = f"for the image {printable(str(name))!r}"
    if not isinstance(found, Mapping) or not {"vqa", "answers"} & found.keys():
        raise _strange(path, f"has neither 'vqa' nor 'answers' {where}")
    asked, lemmas = found.get("vqa", ()), found.get("answers", ())
    if not (_is_list(asked) and _is_list(lemmas) and all(_is_list(pair) and len(pair) == 2 for pair in asked)):
        raise _strange(path, f"should hold pairs of question and answer, and a list of answers, {where}")
    if asked and lemmas and len(asked) != len(lemmas):
        raise _strange(path, f"holds {len(asked)} questions and {len(lemmas)} answers {where}")
    said = []
    for pair, lemma in zip_longest(asked, lemmas):
        question, raw = pair if pair is not None else ("", lemma)
        text = lemma if lemma is not None else raw
        said.append(Said(printable(str(question)), printable(str(raw)), printable(str(text))))
    return tuple(said)


def _image(name: object) -> str:
    """The id of an image: its name without the suffix of a picture."""
    text = printable(str(name))
    return Path(text).stem if text.lower().endswith(IMAGE_SUFFIXES) else text


def _is_list(value: Any) -> bool:  # noqa: ANN401 - whatever the file holds
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _strange(path: Path, problem: str) -> BadFile:
    return BadFile(
        f"{path} {problem}. A published answer file holds, for each image and label, 'vqa' (questions and answers) "
        "and 'answers'; files named '*_cache.npy' hold features instead, and are not read."
    )
