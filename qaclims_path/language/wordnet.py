"""Lemmas of WordNet, which the released QA-CLIMS uses; from a folder of WordNet's own plain files."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from qaclims_path.errors import BadFile
from qaclims_path.files.digest import digest_of_file

NOUNS, EXCEPTIONS = "index.noun", "noun.exc"
LARGEST = 64 * 2**20  # bytes of a file; version 3.0 has 5 MB
ENDINGS = (
    *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh")),
    *(("men", "man"), ("ies", "y")),
)  # plural and singular
WAY_OUT = (
    f"Name the folder that holds {NOUNS} and {EXCEPTIONS} of WordNet 3, such as /usr/share/wordnet of Debian's package "
    "wordnet-base."
)


class WordNet:
    """Nouns of WordNet and their irregular plurals.

    Args:
        nouns: All nouns, with underscores for spaces.
        exceptions: Irregular plurals and their singulars.
        digest: Hash of both files.
    """

    def __init__(self, nouns: frozenset[str], exceptions: Mapping[str, tuple[str, ...]], digest: str = "") -> None:
        self.nouns, self.exceptions, self.digest = nouns, exceptions, digest

    @classmethod
    def read(cls, folder: Path) -> "WordNet":
        """Read a folder of WordNet's files."""
        nouns = frozenset(words[0] for words in _lines(folder / NOUNS) if words[1:2] == ["n"])
        if not nouns:
            raise BadFile(f"{folder / NOUNS} holds no noun in WordNet's format. {WAY_OUT}")
        exceptions = {words[0]: tuple(words[1:]) for words in _lines(folder / EXCEPTIONS)}
        if not all(exceptions.values()):
            bare = next(word for word, singulars in exceptions.items() if not singulars)
            raise BadFile(f"{folder / EXCEPTIONS} names no singular of '{bare}'. {WAY_OUT}")
        return cls(nouns, exceptions, " ".join(digest_of_file(folder / name) for name in (NOUNS, EXCEPTIONS)))

    def lemma(self, text: str) -> str:
        """Return the shortest lemma of a whole text as a noun, as `WordNetLemmatizer` of NLTK does; else the text.

        WordNet writes phrases with underscores, so a phrase with spaces stays as it is.

        Examples:
            >>> WordNet(frozenset({"dog", "leaf"}), {"leaves": ("leaf",)}).lemma("dogs")
            'dog'
        """
        return min(self._lemmas(text), key=len, default=text)

    def _lemmas(self, text: str) -> Iterator[str]:
        singulars = self.exceptions.get(text) or [
            text.removesuffix(old) + new for old, new in ENDINGS if text.endswith(old)
        ]
        return (form for form in (text, *singulars) if form in self.nouns)


def _lines(path: Path) -> Iterator[list[str]]:
    """Yield the words of every line; those of the licence begin with spaces."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise BadFile(f"{path} has {size} bytes, more than any file of WordNet. {WAY_OUT}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read as a file of WordNet: {error}. {WAY_OUT}") from error
    yield from (line.split() for line in text.splitlines() if line.strip() and not line.startswith(" "))
