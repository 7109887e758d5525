"""The embedded answerer: its provenance, and its accuracy on phantom slides that it was not trained on."""

import numpy as np
import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.phantoms.splits import EMBEDDED, HELD_OUT
from qaclims_path.language.answerers import Setup, load_answerer
from qaclims_path.language.lexicon import load_lexicon
from qaclims_path.types import Ask

CLEAR = 0.1  # smallest share of a tile for a class that is asked about


@pytest.fixture(scope="module")
def answerer():
    return load_answerer("blip", Setup(model="embedded", device="cpu"))


def test_its_provenance_has_name_and_warning(answerer):
    assert answerer.provenance["model"] == "embedded"
    assert answerer.provenance["warning"] == EMBEDDED


def test_it_names_tissue_of_held_out_slides(answerer):
    """It names a present tissue by one of its terms, and answers `unknown` about an absent one."""
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
    correct = {True: [], False: []}  # by whether the class is present
    for answer, name in zip(answerer.answer(asks), expected, strict=True):
        term = lexicon.find(answer.text)
        correct[bool(name)].append(term is not None and name in term.classes if name else answer.text == "unknown")
    assert np.mean(correct[True]) > 0.75
    assert np.mean(correct[False]) > 0.75
