"""Plain words and lemmas, computed offline."""

import html
import re
from functools import lru_cache

ARTICLES = {"a", "an", "the", "some"}
LEADING = {"and", "or", "of", "with", "without", "in", "between", "around", "by", "to", "from", "for", "at", *ARTICLES}
OUTER = " .,;:!?\"'`*_-()[]{}<>/\\|"
TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
IRREGULAR = {
    "leaves": "leaf",
    "mitoses": "mitosis",
}  # words that the lemmatizer takes for verbs or does not know


def plain(text: str) -> str:
    r"""Lower-case words with single spaces, without tags, control characters, outer punctuation and leading articles.

    Examples:
        >>> plain(" The <b>Pink</b>\x07 collagen. ")
        'pink collagen'
    """
    text = TAG.sub(" ", html.unescape(text))
    text = "".join(letter if letter.isprintable() else " " for letter in text).lower()
    words = text.strip(OUTER).split()
    while len(words) > 1 and words[0] in ARTICLES:
        words = words[1:]
    return " ".join(words)


def whole(text: str) -> str:
    """Drop words at the end of a phrase that lead nowhere, for people to read.

    Examples:
        >>> whole("nuclei with scant cytoplasm between"), whole("between")
        ('nuclei with scant cytoplasm', 'between')
    """
    words = text.split()
    while len(words) > 1 and words[-1].lower() in LEADING:
        words = words[:-1]
    return " ".join(words)


def lemmas(text: str) -> str:
    """Singular of every word; words in -ed and -ing do not change.

    Examples:
        >>> lemmas("scattered spindle-shaped nuclei")
        'scattered spindle-shaped nucleus'
    """
    return " ".join(_lemma(word) for word in text.split())


def key(text: str) -> str:
    """Return the key that is the same for all spellings of a term: plain lemmas, with hyphens as spaces."""
    return lemmas(plain(text).replace("-", " "))


def contains(text: str, part: str) -> bool:
    """Return whether a key contains the words of another in sequence, as whole words.

    Examples:
        >>> contains("carpet floor", "car"), contains("red car door", "car")
        (False, True)
    """
    return f" {part} " in f" {text} "


@lru_cache(maxsize=100_000)
def _lemma(word: str) -> str:
    import simplemma

    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith(("ed", "ing", "ss")) or not word.isalpha():
        return word
    lemma = str(simplemma.lemmatize(word, lang="en"))
    return lemma if lemma.islower() and lemma[0] == word[0] else word
