"""Which texts a pair gets: its own, those its class shares, and those of the controls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadFile
from qaclims_path.language.corpus import CorpusAnswer, Entry
from qaclims_path.language.questions import load_bank
from qaclims_path.language.terms import display_name, names_of
from qaclims_path.language.text_bank import TextBank
from qaclims_path.language.text_store import TextStore, encode_texts
from qaclims_path.types import PairTexts

MakeJudge = Callable[..., Any]
CARD = load_card("phantom")
BANK = load_bank("histology")
WORDS = ["fat", "glass", "mucin", "nerve", "vessel", "bone", "ink"]


def entry(image: str, label: str, foreground: list[str], background: list[str]) -> Entry:
    said = [tuple(CorpusAnswer("?", text, text) for text in texts) for texts in (foreground, background)]
    return Entry(image, label, *said)


def rows_of(texts: PairTexts, pair: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features of one pair: its name, what was answered, what is around."""
    foreground = texts.foreground[texts.foreground_offsets[pair] : texts.foreground_offsets[pair + 1]]
    background = texts.background[texts.background_offsets[pair] : texts.background_offsets[pair + 1]]
    return texts.features[texts.label[pair]], texts.features[foreground], texts.features[background]


def is_of(features: torch.Tensor, words: list[str], judge: Any) -> bool:
    want = encode_texts(judge, words, BANK.templates)
    return features.shape == want.shape and torch.allclose(features, want, atol=1e-6)


@pytest.fixture
def store(byte_judge: MakeJudge) -> TextStore:
    return TextStore(byte_judge(), BANK.templates)


ENTRIES = [
    entry("a", "tumor", ["nests", "", "nests", "sheets"], ["fat", "glass", "fat"]),
    entry("a", "stroma", ["collagen"], ["fat"]),
    entry("b", "tumor", ["glands", "nests"], []),
    entry("c", "tumor", [], ["", ""]),
]


def test_a_pair_gets_its_own_answers_in_the_order_of_its_questions(store: TextStore) -> None:
    texts = TextBank.build(ENTRIES, store, CARD.classes, BANK).pair_texts([("a", 1), ("a", 0)])
    _, foreground, background = rows_of(texts, 0)
    assert is_of(foreground, ["collagen"], store.judge)
    assert is_of(background, ["fat"], store.judge)
    _, foreground, background = rows_of(texts, 1)
    assert is_of(foreground, ["nests", "nests", "sheets"], store.judge), "an answer given twice counts twice"
    assert is_of(background, ["fat", "glass"], store.judge), "around a class every text counts once"


def test_the_name_of_a_class_is_the_mean_over_its_names(store: TextStore, byte_judge: MakeJudge) -> None:
    texts = TextBank.build(ENTRIES, store, CARD.classes, BANK).pair_texts([("a", 0)])
    names = encode_texts(store.judge, names_of(CARD.classes[0]), BANK.templates)
    assert torch.allclose(rows_of(texts, 0)[0], F.normalize(names.mean(0), dim=0), atol=1e-6)
    natural = load_bank("natural")
    voc = load_card("voc2012").classes
    other = TextBank.names(TextStore(byte_judge(), natural.templates), voc, natural)
    table = rows_of(other.pair_texts([("x", 10)]), 0)[0]
    assert torch.allclose(table, byte_judge().encode_texts(["a photo of dining table."])[0], atol=1e-6)


def test_an_image_without_answers_gets_what_its_class_shares(store: TextStore) -> None:
    bank = TextBank.build(ENTRIES, store, CARD.classes, BANK, shared=2)
    texts = bank.pair_texts([("b", 0), ("c", 0), ("unknown", 0), ("a", 3)])
    assert is_of(rows_of(texts, 0)[1], ["glands", "nests"], store.judge)
    for pair in (1, 2):
        assert is_of(rows_of(texts, pair)[1], ["nests", "sheets"], store.judge), "most frequent first, then first seen"
    for pair in (0, 1, 2):
        assert is_of(rows_of(texts, pair)[2], ["fat", "glass"], store.judge)
    assert len(rows_of(texts, 3)[1]) == len(rows_of(texts, 3)[2]) == 0
    alone = TextBank.build(ENTRIES, store, CARD.classes, BANK, shared=0).pair_texts([("c", 0)])
    assert len(alone.foreground) == len(alone.background) == 0


def test_texts_of_classes_are_what_they_share(store: TextStore) -> None:
    texts = TextBank.build(ENTRIES, store, CARD.classes, BANK).class_texts()
    assert texts.label.shape == (4,)
    assert is_of(rows_of(texts, 0)[1], ["nests", "sheets", "glands"], store.judge)
    assert is_of(rows_of(texts, 1)[2], ["fat"], store.judge)


def test_every_unique_text_is_encoded_once(store: TextStore) -> None:
    bank = TextBank.build(ENTRIES * 50, store, CARD.classes, BANK)
    asked = [prompt for batch in store.judge.asked for prompt in batch]  # type: ignore[attr-defined]
    assert len(asked) == len(set(asked))
    unique = {"nests", "sheets", "glands", "collagen", "fat", "glass"}
    assert len(bank.features) == len(unique) + len(CARD.classes)
    assert torch.allclose(bank.features.norm(dim=1), torch.ones(len(bank.features)), atol=1e-5)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_gathering_equals_looking_every_pair_up(byte_judge: MakeJudge, data: st.DataObject) -> None:
    texts = st.lists(st.sampled_from(WORDS), max_size=4)
    keys = st.tuples(st.sampled_from("abcdef"), st.integers(0, 3))
    corpus = data.draw(st.dictionaries(keys, st.tuples(texts, texts), max_size=12))
    entries = [entry(image, CARD.names[label], *said) for (image, label), said in corpus.items()]
    store = TextStore(byte_judge(), ["{}"])
    bank = TextBank.build(entries, store, CARD.classes, BANK, shared=0)
    wanted = data.draw(st.lists(keys, max_size=10))
    found = bank.pair_texts(wanted)
    plain = dict(zip(WORDS, encode_texts(store.judge, WORDS), strict=True))
    for pair, key in enumerate(wanted):
        _, foreground, background = rows_of(found, pair)
        own, around = corpus.get(key, ([], []))
        for features, words in ((foreground, own), (background, list(dict.fromkeys(around)))):
            assert len(features) == len(words)
            assert all(torch.allclose(row, plain[word], atol=1e-6) for row, word in zip(features, words, strict=True))


def test_names_know_nothing_but_names(store: TextStore) -> None:
    bank = TextBank.names(store, CARD.classes, BANK)
    texts = bank.pair_texts([("any", 0), ("other", 3)])
    assert len(texts.foreground) == 0
    for pair, label in enumerate((0, 3)):
        others = [display_name(other) for place, other in enumerate(CARD.classes) if place != label]
        assert is_of(rows_of(texts, pair)[2], others, store.judge)
    assert torch.equal(
        bank.class_texts().label, texts.label.new_tensor(range(len(bank.features) - 4, len(bank.features)))
    )


def test_knowledge_is_what_the_card_says(store: TextStore) -> None:
    texts = TextBank.knowledge(store, CARD.classes, BANK).pair_texts([("any", 2)])
    _, foreground, background = rows_of(texts, 0)
    assert is_of(foreground, list(CARD.classes[2].prompts), store.judge)
    others = [text for place in (0, 1, 3) for text in CARD.classes[place].prompts]
    assert is_of(background, others, store.judge)


def test_shuffled_gives_every_image_what_another_of_its_class_was_answered(store: TextStore) -> None:
    entries = [entry(f"i{n}", CARD.names[n % 2], [f"look {n}"], [f"around {n}"]) for n in range(20)]
    bank = TextBank.build(entries, store, CARD.classes, BANK)
    pairs = [(f"i{n}", n % 2) for n in range(20)]
    right, wrong = bank.pair_texts(pairs), bank.shuffled(3).pair_texts(pairs)
    assert not (right.foreground == wrong.foreground).any()
    assert torch.equal(right.label, wrong.label)
    for label in (0, 1):
        assert set(right.foreground[label::2].tolist()) == set(wrong.foreground[label::2].tolist())
        assert set(right.background[label::2].tolist()) == set(wrong.background[label::2].tolist())
    assert torch.equal(wrong.foreground, bank.shuffled(3).pair_texts(pairs).foreground)
    assert not torch.equal(wrong.foreground, bank.shuffled(4).pair_texts(pairs).foreground)
    assert torch.equal(bank.pair_texts(pairs).foreground, right.foreground), "the bank itself stays as it was"


def test_one_image_of_a_class_has_nobody_to_change_with(store: TextStore) -> None:
    bank = TextBank.build(ENTRIES[:2], store, CARD.classes, BANK)
    pairs = [("a", 0), ("a", 1)]
    assert torch.equal(bank.shuffled(0).pair_texts(pairs).foreground, bank.pair_texts(pairs).foreground)


def test_an_entry_that_comes_twice_counts_as_the_last(store: TextStore) -> None:
    entries = [entry("a", "tumor", ["fat"], []), entry("a", "tumor", ["glass"], [])]
    texts = TextBank.build(entries, store, CARD.classes, BANK).pair_texts([("a", 0)])
    assert is_of(rows_of(texts, 0)[1], ["glass"], store.judge)


def test_a_class_that_the_card_does_not_have_is_named(store: TextStore) -> None:
    with pytest.raises(BadFile, match=r"class 'tumour' \(image 'a'\).*Did you mean 'tumor'"):
        TextBank.build([entry("a", "tumour", [], [])], store, CARD.classes, BANK)


def test_no_pairs_and_no_corpus_are_fine(store: TextStore) -> None:
    bank = TextBank.build([], store, CARD.classes, BANK)
    texts = bank.pair_texts([])
    assert texts.label.shape == (0,)
    assert texts.foreground_offsets.tolist() == texts.background_offsets.tolist() == [0]
    assert len(bank.pair_texts([("a", 0)]).foreground) == 0


def test_a_bank_moves_with_what_is_asked_of_it(store: TextStore) -> None:
    bank = TextBank.build(ENTRIES, store, CARD.classes, BANK)
    moved = bank.to("meta").pair_texts([("a", 0)])
    assert {value.device.type for value in vars(moved).values()} == {"meta"}
    assert bank.pair_texts([("a", 0)]).features.device.type == "cpu"


def test_a_corpus_is_read_as_a_stream(store: TextStore, tmp_path: Path) -> None:
    """Ten thousand entries leave a few numbers each, not their texts."""
    number = 10_000
    stream = (entry(f"tile_{n:06d}", CARD.names[n % 4], [WORDS[n % 7]], WORDS[: n % 3]) for n in range(number))
    bank = TextBank.build(stream, store, CARD.classes, BANK)
    sizes = [len(values) + len(offsets) for values, offsets in bank._lists.values()]
    assert sum(sizes) * 8 < number * 64
    assert np.count_nonzero(bank._table >= 0) == number
