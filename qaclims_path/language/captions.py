"""Captions of images from their classes, with varying phrases for each class.

A hard negative is the same sentence with one class replaced by an absent one.
"""

from collections.abc import Sequence

import numpy as np

from qaclims_path.errors import UsageError
from qaclims_path.language.lexicon import Lexicon
from qaclims_path.language.questions import QuestionBank
from qaclims_path.language.terms import CardTerms, ClassTerms, names_of
from qaclims_path.registry import suggest

NAME_SHARE = 0.4  # share of phrases that are names of the class, as in the text features of a bank
ALL_SHARE = 0.5  # share of captions that name all present classes; the others name a random number of them
Phrases = dict[str, tuple[str, ...]]  # by group: name, look, or a topic of the lexicon


class Captioner:
    """Writes captions for the images of a card.

    Attributes:
        phrases: Phrases by class name and group; a wrong phrase replaces one of the same group.
    """

    def __init__(self, card: CardTerms, bank: QuestionBank, lexicon: Lexicon | None = None) -> None:
        self.phrases = {label.name: phrases_of(label, card.organ, lexicon) for label in card.classes}
        self.sentences = (*bank.templates, *bank.captions)

    def captions(self, present: Sequence[str], *, seed: int, count: int) -> list[str]:
        """Make captions of an image.

        Args:
            present: Names of the classes in the image, at least one.
            seed: Seed of the captions; use another for each image.
            count: Number of captions.

        Examples:
            >>> from qaclims_path.data.cards import load_card
            >>> from qaclims_path.language.questions import load_bank
            >>> captioner = Captioner(load_card("bcss-wsss"), load_bank("histology"))
            >>> captioner.captions(["stroma"], seed=1, count=1)
            ['a histopathology image showing fibrous stroma.']
        """
        return [right for right, _ in self.pairs(present, seed=seed, count=count)]

    def pairs(self, present: Sequence[str], *, seed: int, count: int) -> list[tuple[str, str]]:
        """Make pairs of a caption and its hard negative, which is empty if every class is present."""
        self._check(present)
        generator = np.random.default_rng(seed)
        return [self._pair(list(dict.fromkeys(present)), generator) for _ in range(count)]

    def _pair(self, present: list[str], generator: np.random.Generator) -> tuple[str, str]:
        number = len(present) if generator.random() < ALL_SHARE else int(generator.integers(1, len(present) + 1))
        names = [str(name) for name in generator.permutation(present)[:number]]
        groups = [self._group(name, generator) for name in names]
        phrases = [str(generator.choice(self.phrases[name][group])) for name, group in zip(names, groups, strict=True)]
        sentence = str(generator.choice(self.sentences))
        replaced = int(generator.integers(number))
        wrong = self._wrong_phrase(present, groups[replaced], generator)
        caption = sentence.replace("{}", enumeration(phrases))
        phrases[replaced] = wrong
        return caption, sentence.replace("{}", enumeration(phrases)) if wrong else ""

    def _group(self, name: str, generator: np.random.Generator) -> str:
        others = [group for group in self.phrases[name] if group != "name"]
        if not others or generator.random() < NAME_SHARE:
            return "name"
        return str(generator.choice(others))

    def _wrong_phrase(self, present: Sequence[str], group: str, generator: np.random.Generator) -> str:
        """Choose a phrase that only absent classes have, from the same group if possible; empty if there is none."""
        right = {phrase for name in present for phrases in self.phrases[name].values() for phrase in phrases}
        absent = [name for name in self.phrases if name not in present]
        for name in generator.permutation(absent) if absent else ():
            phrases = self.phrases[str(name)]
            wrong = [phrase for phrase in phrases.get(group, phrases["name"]) if phrase not in right]
            if wrong:
                return str(generator.choice(wrong))
        return ""

    def _check(self, present: Sequence[str]) -> None:
        if not present:
            raise UsageError("A caption needs at least one class. Leave out images without classes.")
        for name in present:
            if name not in self.phrases:
                raise UsageError(f"There is no class '{name}'. {suggest(name, list(self.phrases))}")


def captions(
    card: CardTerms,
    present: Sequence[str],
    *,
    bank: QuestionBank,
    seed: int,
    count: int,
    lexicon: Lexicon | None = None,
) -> list[str]:
    """Make captions of one image; for many images, use one `Captioner`."""
    return Captioner(card, bank, lexicon).captions(present, seed=seed, count=count)


def phrases_of(label: ClassTerms, organ: str, lexicon: Lexicon | None) -> Phrases:
    """Return phrases of a class: its names, the prompts and definition of the card, and its terms in the lexicon."""
    definition = label.definition.strip().rstrip(".")
    look = [*label.prompts, *([definition[0].lower() + definition[1:]] if definition else [])]
    groups: dict[str, list[str]] = {"name": list(names_of(label)), "look": look}
    classes = lexicon.classes_of(label) if lexicon else set()
    for entry in lexicon or ():
        fits = classes & set(entry.classes) and (not entry.organs or not organ or organ in entry.organs)
        if fits and "foreground" in entry.kinds:
            groups.setdefault(entry.topics[0], []).append(entry.term)
    return {group: tuple(dict.fromkeys(phrases)) for group, phrases in groups.items() if phrases}


def enumeration(phrases: Sequence[str]) -> str:
    """Join phrases by commas and `and`.

    Examples:
        >>> enumeration(["collagen", "fat", "lymphocytes"])
        'collagen, fat and lymphocytes'
    """
    *first, last = phrases
    return f"{', '.join(first)} and {last}" if first else last
