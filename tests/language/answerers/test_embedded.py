"""The answerer that ships with the package: it is there, says what it is, and sees phantom tissue it has never seen."""

import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.phantoms.splits import EMBEDDED, HELD_OUT
from qaclims_path.language.answerers import Setup, load_answerer
from qaclims_path.language.lexicon import load_lexicon
from qaclims_path.types import Ask

CLEAR = 0.1  # share of a tile from which a class is there without doubt


@pytest.fixture(scope="module")
def answerer():
    return load_answerer("blip", Setup(model="embedded", device="cpu"))


def test_it_says_what_it_is(answerer):
    assert answerer.provenance["model"] == "embedded"
    assert answerer.provenance["warning"] == EMBEDDED


def test_it_passes_a_small_exam_on_slides_held_out(answerer):
    """What it calls a tissue that is there is a term of this tissue; of a tissue that is not there it knows nothing."""
    card, lexicon = load_card("phantom"), load_lexicon("histology")
    asks, expected = [], []
    for i, item in enumerate(HELD_OUT.tiles(5, 8)):
        shares = np.bincount(item.labels.ravel(), minlength=5) / item.labels.size
        for code, label in enumerate(card.classes):
            if 0 < shares[code] < CLEAR:
                continue
            text = f"What kind of tissue is the {label.display.lower()} in this image?"
            asks.append(Ask(str(i), lambda item=item: item.image, label.name, text, "foreground", "tissue"))
            expected.append(label.name if shares[code] else "")
    right = {True: [], False: []}
    for answer, name in zip(answerer.answer(asks), expected, strict=True):
        term = lexicon.find(answer.text)
        right[bool(name)].append(term is not None and name in term.classes if name else answer.text == "unknown")
    assert np.mean(right[True]) > 0.75
    assert np.mean(right[False]) > 0.75
