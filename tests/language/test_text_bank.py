"""Texts of pairs: their own answers, shared texts of the class, and those of the controls."""

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
    answers = [tuple(CorpusAnswer("?", text, text) for text in texts) for texts in (foreground, background)]
    return Entry(image, label, *answers)


def rows_of(texts: PairTexts, pair: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features of one pair: class name, foreground texts, background texts."""
    foreground = texts.foreground[texts.foreground_owner == pair]
    background = texts.background[texts.background_owner == pair]
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
    assert is_of(foreground, ["nests", "nests", "sheets"], store.judge), "a repeated foreground answer counts twice"
    assert is_of(background, ["fat", "glass"], store.judge), "background texts are unique"


def test_the_feature_of_a_class_is_the_mean_over_its_names(store: TextStore, byte_judge: MakeJudge) -> None:
    texts = TextBank.build(ENTRIES, store, CARD.classes, BANK).pair_texts([("a", 0)])
    names = encode_texts(store.judge, names_of(CARD.classes[0]), BANK.templates)
    assert torch.allclose(rows_of(texts, 0)[0], F.normalize(names.mean(0), dim=0), atol=1e-6)
    natural = load_bank("natural")
    voc = load_card("voc2012").classes
    other = TextBank.names(TextStore(byte_judge(), natural.templates), voc, natural)
    table = rows_of(other.pair_texts([("x", 10)]), 0)[0]
    assert torch.allclose(table, byte_judge().encode_texts(["a photo of dining table."])[0], atol=1e-6)


def test_an_image_without_answers_gets_the_shared_texts_of_its_class(store: TextStore) -> None:
    bank = TextBank.build(ENTRIES, store, CARD.classes, BANK, shared=2)
    texts = bank.pair_texts([("b", 0), ("c", 0), ("unknown", 0), ("a", 3)])
    assert is_of(rows_of(texts, 0)[1], ["glands", "nests"], store.judge)
    for pair in (1, 2):
        assert is_of(rows_of(texts, pair)[1], ["nests", "sheets"], store.judge), (
            "most frequent first, ties in order of occurrence"
        )
    for pair in (0, 1, 2):
        assert is_of(rows_of(texts, pair)[2], ["fat", "glass"], store.judge)
    assert len(rows_of(texts, 3)[1]) == len(rows_of(texts, 3)[2]) == 0
    alone = TextBank.build(ENTRIES, store, CARD.classes, BANK, shared=0).pair_texts([("c", 0)])
    assert len(alone.foreground) == len(alone.background) == 0


def test_class_texts_are_the_shared_texts(store: TextStore) -> None:
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
def test_gathered_texts_equal_those_of_each_pair(byte_judge: MakeJudge, data: st.DataObject) -> None:
    texts = st.lists(st.sampled_from(WORDS), max_size=4)
    keys = st.tuples(st.sampled_from("abcdef"), st.integers(0, 3))
    corpus = data.draw(st.dictionaries(keys, st.tuples(texts, texts), max_size=12))
    entries = [entry(image, CARD.names[label], *texts) for (image, label), texts in corpus.items()]
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


def test_the_bank_of_names_has_only_names(store: TextStore) -> None:
    bank = TextBank.names(store, CARD.classes, BANK)
    texts = bank.pair_texts([("any", 0), ("other", 3)])
    assert len(texts.foreground) == 0
    for pair, label in enumerate((0, 3)):
        others = [display_name(other) for index, other in enumerate(CARD.classes) if index != label]
        assert is_of(rows_of(texts, pair)[2], others, store.judge)
    assert torch.equal(
        bank.class_texts().label, texts.label.new_tensor(range(len(bank.features) - 4, len(bank.features)))
    )


def test_the_bank_of_knowledge_has_the_prompts_of_the_card(store: TextStore) -> None:
    texts = TextBank.knowledge(store, CARD.classes, BANK).pair_texts([("any", 2)])
    _, foreground, background = rows_of(texts, 0)
    assert is_of(foreground, list(CARD.classes[2].prompts), store.judge)
    others = [text for index in (0, 1, 3) for text in CARD.classes[index].prompts]
    assert is_of(background, others, store.judge)


def test_the_shuffled_bank_has_answers_about_another_image_of_the_class(store: TextStore) -> None:
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
    assert torch.equal(bank.pair_texts(pairs).foreground, right.foreground), "the bank itself does not change"


def test_shuffling_does_not_change_a_class_with_one_image(store: TextStore) -> None:
    bank = TextBank.build(ENTRIES[:2], store, CARD.classes, BANK)
    pairs = [("a", 0), ("a", 1)]
    assert torch.equal(bank.shuffled(0).pair_texts(pairs).foreground, bank.pair_texts(pairs).foreground)


def test_the_last_of_two_entries_of_a_pair_is_used(store: TextStore) -> None:
    entries = [entry("a", "tumor", ["fat"], []), entry("a", "tumor", ["glass"], [])]
    texts = TextBank.build(entries, store, CARD.classes, BANK).pair_texts([("a", 0)])
    assert is_of(rows_of(texts, 0)[1], ["glass"], store.judge)


def test_a_class_that_is_not_on_the_card_is_named(store: TextStore) -> None:
    with pytest.raises(BadFile, match=r"class 'tumour' \(image 'a'\).*Did you mean 'tumor'"):
        TextBank.build([entry("a", "tumour", [], [])], store, CARD.classes, BANK)


def test_an_empty_corpus_and_no_pairs_are_allowed(store: TextStore) -> None:
    bank = TextBank.build([], store, CARD.classes, BANK)
    texts = bank.pair_texts([])
    assert texts.label.shape == (0,)
    assert texts.foreground_owner.tolist() == texts.background_owner.tolist() == []
    assert len(bank.pair_texts([("a", 0)]).foreground) == 0


def test_texts_of_pairs_are_on_the_device_of_the_bank(store: TextStore) -> None:
    bank = TextBank.build(ENTRIES, store, CARD.classes, BANK)
    moved = bank.to("meta").pair_texts([("a", 0)])
    assert {value.device.type for value in vars(moved).values()} == {"meta"}
    assert bank.pair_texts([("a", 0)]).features.device.type == "cpu"


def test_a_corpus_is_read_as_a_stream(store: TextStore, tmp_path: Path) -> None:
    """Only a few numbers per entry stay in memory, never its texts."""
    number = 10_000
    stream = (entry(f"tile_{n:06d}", CARD.names[n % 4], [WORDS[n % 7]], WORDS[: n % 3]) for n in range(number))
    bank = TextBank.build(stream, store, CARD.classes, BANK)
    sizes = [len(values) + len(offsets) for values, offsets in bank.rows.lists.values()]
    assert sum(sizes) * 8 < number * 64
    assert np.count_nonzero(bank.rows.table >= 0) == number
