"""Captions are seeded, varied and right; hard negatives are wrong in one phrase."""

from pathlib import Path

import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.errors import UsageError
from qaclims_path.language.captions import Captioner, captions, enumeration, phrases_of
from qaclims_path.language.lexicon import load_lexicon
from qaclims_path.language.questions import load_bank

BANK = load_bank("histology")
LEXICON = load_lexicon("histology")
CARD = load_card("phantom")


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner(CARD, BANK, LEXICON)


def phrases_in(captioner: Captioner, name: str) -> set[str]:
    return {phrase for phrases in captioner.phrases[name].values() for phrase in phrases}


def test_the_same_seed_gives_the_same_captions(captioner: Captioner) -> None:
    first = captioner.captions(["tumor", "stroma"], seed=5, count=20)
    assert captioner.captions(["tumor", "stroma"], seed=5, count=20) == first
    assert captioner.captions(["tumor", "stroma"], seed=6, count=20) != first
    assert captions(CARD, ["tumor", "stroma"], bank=BANK, lexicon=LEXICON, seed=5, count=20) == first


@pytest.mark.parametrize("name", CARD.names)
def test_a_caption_is_a_sentence_with_a_phrase_of_the_class(captioner: Captioner, name: str) -> None:
    possible = {
        sentence.replace("{}", phrase) for sentence in captioner.sentences for phrase in phrases_in(captioner, name)
    }
    found = captioner.captions([name], seed=1, count=200)
    assert set(found) <= possible
    assert len(set(found)) > 60, "captions should vary"


def test_all_phrases_of_card_and_lexicon_are_used(captioner: Captioner) -> None:
    text = " | ".join(captioner.captions(["necrosis"], seed=2, count=2000))
    assert all(phrase in text for phrase in phrases_in(captioner, "necrosis"))
    assert "amorphous pink material" in phrases_in(captioner, "necrosis")
    assert set(CARD.classes[3].prompts) <= phrases_in(captioner, "necrosis")


def test_a_hard_negative_has_one_phrase_of_an_absent_class(captioner: Captioner) -> None:
    present = ["tumor", "lymphocyte"]
    right_phrases = phrases_in(captioner, "tumor") | phrases_in(captioner, "lymphocyte")
    wrong_phrases = (phrases_in(captioner, "stroma") | phrases_in(captioner, "necrosis")) - right_phrases
    for right, wrong in captioner.pairs(present, seed=3, count=300):
        assert right != wrong
        assert any(phrase in wrong for phrase in wrong_phrases)
        assert any(
            right == sentence.replace("{}", enumeration(said)) and wrong.startswith(sentence.split("{}")[0])
            for sentence in captioner.sentences
            for said in [[right.removeprefix(sentence.split("{}")[0]).removesuffix(sentence.split("{}")[1])]]
        )
    pairs = captioner.pairs(present, seed=3, count=300)
    assert captioner.captions(present, seed=3, count=300) == [right for right, _ in pairs]


def test_with_all_classes_present_hard_negatives_are_empty(captioner: Captioner) -> None:
    assert [wrong for _, wrong in captioner.pairs(CARD.names, seed=1, count=5)] == [""] * 5
    assert len(captioner.captions(CARD.names, seed=1, count=5)) == 5


def test_phrases_of_other_organs_are_excluded() -> None:
    tumor = load_card("wsss4luad").classes[0]
    phrases = {phrase for group in phrases_of(tumor, "lung", LEXICON).values() for phrase in group}
    assert "lepidic growth" in phrases
    assert "signet ring cells" not in phrases


def test_every_card_has_captions_without_a_lexicon() -> None:
    for name in ("voc2012", "coco2014", "glas", "gcss", "folder"):
        card = load_card(name)
        bank = load_bank("natural" if card.domain == "natural" else "histology")
        found = Captioner(card, bank).captions(card.names[:1], seed=0, count=3)
        assert len(found) == 3
        assert all(found)


def test_wrong_classes_are_named(captioner: Captioner) -> None:
    with pytest.raises(UsageError, match="at least one class"):
        captioner.captions([], seed=0, count=1)
    with pytest.raises(UsageError, match="Did you mean 'tumor'"):
        captioner.captions(["tumr"], seed=0, count=1)


def test_captions_use_the_sentences_of_the_given_bank(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text('extends: histology\nname: one\ntemplates: ["look: {}"]\ncaptions: []\n')
    bank = load_bank(str(path))
    assert all(text.startswith("look: ") for text in captions(CARD, ["tumor"], bank=bank, seed=0, count=10))
