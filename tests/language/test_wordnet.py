"""Lemmas of WordNet as NLTK's lemmatiser gives them, from a hand-written folder in WordNet's format."""

from pathlib import Path

import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadFile
from qaclims_path.language import wordnet
from qaclims_path.language.cleaning import published_cleaner
from qaclims_path.language.wordnet import WordNet
from qaclims_path.language.words import lemmas

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by\n"
WORDS = ["dog", "leaf", "church", "box", "fly", "fireman", "glass", "glasses", "gas", "ga", "vase", "vas"]
WORDS += ["dining_table", "golden_retriever", "sunglasses"]
INDEX = LICENCE + "".join(f"{word} n 1 2 @ ~ 1 0 0000{number:04d}  \n" for number, word in enumerate(sorted(WORDS)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.noun").write_text(INDEX)
    (tmp_path / "noun.exc").write_text("leaves leaf\nvases vas vase\nmice mouse\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "lemma"),
    [
        ("dogs", "dog"),
        ("dog", "dog"),
        ("churches", "church"),
        ("boxes", "box"),
        ("flies", "fly"),
        ("firemen", "fireman"),
        ("leaves", "leaf"),  # irregular
        ("vases", "vas"),  # the shortest of two
        ("glasses", "glass"),  # which is a noun itself
        ("gas", "ga"),  # so NLTK says, too
        ("mice", "mice"),  # irregular, of a word that is not there
        ("sunglasses", "sunglasses"),
        ("dining_table", "dining_table"),
        ("dining tables", "dining tables"),  # phrases have underscores in WordNet
        ("golden retrievers", "golden retrievers"),
        ("a dog", "a dog"),
        ("Dogs", "Dogs"),
        ("grasses", "grasses"),  # unknown
        ("", ""),
        ("s", "s"),
    ],
)
def test_lemmas_are_those_of_the_whole_text(text: str, lemma: str, folder: Path) -> None:
    assert WordNet.read(folder).lemma(text) == lemma


def test_the_published_cleaning_differs_from_ours_in_phrases(folder: Path) -> None:
    answers = ["dogs", "golden retrievers", "a leaf"]
    dog = load_card("voc2012").classes[11]
    assert dog.name == "dog"
    released = published_cleaner(WordNet.read(folder))(answers, dog, "background")
    ours = published_cleaner()(answers, dog, "background")
    assert released == ["", "golden retrievers", "a leaf"]
    assert ours == ["", lemmas("golden retrievers"), "leaf"] == ["", "golden retriever", "leaf"]


def test_the_digest_follows_both_files(folder: Path) -> None:
    before = WordNet.read(folder).digest
    (folder / "noun.exc").write_text("leaves leaf\n")
    assert WordNet.read(folder).digest != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("index.noun", None, "index.noun cannot be read as a file of WordNet: .*Name the folder that holds index.noun"),
        ("noun.exc", None, "noun.exc cannot be read as a file of WordNet"),
        ("index.noun", b"\xff\xfe\x00dogs", "index.noun cannot be read as a file of WordNet: 'utf-8'"),
        ("index.noun", b"", "index.noun holds no noun in WordNet's format"),
        ("index.noun", b"dog\ncat\n", "holds no noun"),
        ("index.noun", b"run v 1 2 @ ~ 1 0 00001740  \n", "holds no noun"),
        ("noun.exc", b"leaves leaf\nmice\n", "noun.exc names no singular of 'mice'"),
    ],
)
def test_another_file_is_refused_in_one_sentence(name, content, message, folder: Path) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(BadFile, match=message):
        WordNet.read(folder)


def test_a_file_larger_than_any_of_wordnet_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordnet, "LARGEST", 100)
    with pytest.raises(BadFile, match="bytes, more than any file of WordNet"):
        WordNet.read(folder)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be read as a file of WordNet"):
        WordNet.read(tmp_path / "nothing")
