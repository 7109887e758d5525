"""The published answer files of QA-CLIMS: two `.npy` files, for foreground and background.

Each holds `{image: {label: {'vqa': [(question, raw answer), ...], 'answers': [lemma, ...]}}}` as a pickle. The
restricted reader reads it without executing anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from qaclims_path.errors import BadFile
from qaclims_path.files.digest import digest_of
from qaclims_path.files.folders import IMAGE_SUFFIXES
from qaclims_path.files.npy import read_npy
from qaclims_path.language.corpus import CorpusAnswer, Entry, printable

Table = dict[str, dict[str, tuple[CorpusAnswer, ...]]]


def published_entries(foreground: Path, background: Path) -> Iterator[Entry]:
    """Read the entries of both files in the order of the first; the texts are the published lemmas, unchanged.

    Examples:
        >>> next(published_entries(Path("voc_vqa_fg_blip.npy"), Path("voc_vqa_bg_blip.npy"))).key  # doctest: +SKIP
        ('2007_000032', 'aeroplane')
    """
    foregrounds, backgrounds = read_published(foreground), read_published(background)
    revision = digest_of(foreground.read_bytes(), background.read_bytes(), digits=12)
    provenance = {"answerer": "published", "model": f"{foreground.name} and {background.name}", "revision": revision}
    for image in {**foregrounds, **backgrounds}:
        answers, background_answers = foregrounds.get(image, {}), backgrounds.get(image, {})
        for label in {**answers, **background_answers}:
            yield Entry(image, label, answers.get(label, ()), background_answers.get(label, ()), provenance)


def read_published(path: Path) -> Table:
    """Read one published file: answers by image and label.

    Raises:
        BadFile: The file is damaged, holds no answers, or would execute code.
    """
    table = read_npy(path)
    if isinstance(table, Mapping) and {"profile", "feats"} <= table.keys():
        raise _bad_file(path, "holds features of texts")
    if not isinstance(table, Mapping) or not table:
        raise _bad_file(path, "holds no answers")
    return {_image(name): _labels(path, name, labels) for name, labels in table.items()}


def _labels(path: Path, name: object, labels: object) -> dict[str, tuple[CorpusAnswer, ...]]:
    if not isinstance(labels, Mapping):
        raise _bad_file(path, f"has no labels for the image {printable(str(name))!r}")
    return {printable(str(label)): _answers(path, name, of_label) for label, of_label in labels.items()}


def _answers(path: Path, name: object, answers: object) -> tuple[CorpusAnswer, ...]:
    suffix = f"for the image {printable(str(name))!r}"
    if not isinstance(answers, Mapping) or not {"vqa", "answers"} & answers.keys():
        raise _bad_file(path, f"has neither 'vqa' nor 'answers' {suffix}")
    pairs, lemmas = answers.get("vqa", ()), answers.get("answers", ())
    if not (_is_list(pairs) and _is_list(lemmas) and all(_is_list(pair) and len(pair) == 2 for pair in pairs)):
        raise _bad_file(path, f"should hold pairs of question and answer, and a list of answers, {suffix}")
    if pairs and lemmas and len(pairs) != len(lemmas):
        raise _bad_file(path, f"holds {len(pairs)} questions and {len(lemmas)} answers {suffix}")
    parsed = []
    for pair, lemma in zip_longest(pairs, lemmas):
        question, raw = pair if pair is not None else ("", lemma)
        text = lemma if lemma is not None else raw
        parsed.append(CorpusAnswer(printable(str(question)), printable(str(raw)), printable(str(text))))
    return tuple(parsed)


def _image(name: object) -> str:
    """Return the id of an image: its name without the suffix of an image file."""
    text = printable(str(name))
    return Path(text).stem if text.lower().endswith(IMAGE_SUFFIXES) else text


def _is_list(value: Any) -> bool:  # noqa: ANN401 - any value of the file
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _bad_file(path: Path, problem: str) -> BadFile:
    return BadFile(
        f"{path} {problem}. A published answer file holds, for each image and label, 'vqa' (questions and answers) "
        "and 'answers'; files named '*_cache.npy' hold features and are not read."
    )
