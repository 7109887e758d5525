"""Plain words and their lemmas, offline."""

import html
import re
from functools import lru_cache

ARTICLES = {"a", "an", "the", "some"}
OUTER = " .,;:!?\"'`*_-()[]{}<>/\\|"
TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
IRREGULAR = {
    "leaves": "leaf",
    "mitoses": "mitosis",
}  # where the lemmatizer takes a noun for a verb, or does not know it


def plain(text: str) -> str:
    r"""Lower-case words with single spaces: no tags, control characters, outer punctuation or leading article.

    Example:
        >>> plain(" The <b>Pink</b>\x07 collagen. ")
        'pink collagen'
    """
    text = TAG.sub(" ", html.unescape(text))
    text = "".join(letter if letter.isprintable() else " " for letter in text).lower()
    words = text.strip(OUTER).split()
    while len(words) > 1 and words[0] in ARTICLES:
        words = words[1:]
    return " ".join(words)


def lemmas(text: str) -> str:
    """Every word in its singular; words in -ed and -ing describe and stay as they are.

    Example:
        >>> lemmas("scattered spindle-shaped nuclei")
        'scattered spindle-shaped nucleus'
    """
    return " ".join(_lemma(word) for word in text.split())


def key(text: str) -> str:
    """What two spellings of one term have in common: plain lemmas, hyphens as spaces."""
    return lemmas(plain(text).replace("-", " "))


def contains(text: str, part: str) -> bool:
    """Whether the words of one key stand together in another; never inside a word.

    Example:
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
