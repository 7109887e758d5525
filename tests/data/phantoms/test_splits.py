"""Painted slides for training, scoring and the demo share no patient, seed or stain."""

from itertools import combinations

import pytest

from qaclims_path.data.phantoms.splits import DEMO, HELD_OUT, TRAINING
from qaclims_path.data.phantoms.stain import FAMILIES


@pytest.mark.parametrize(("one", "other"), list(combinations((TRAINING, HELD_OUT, DEMO), 2)))
def test_two_purposes_share_no_patient_no_seed_and_no_stain(one, other):
    assert one.seed != other.seed
    assert not set(one.stains) & set(other.stains)
    assert not set(one.patients(500)) & set(other.patients(500))
    assert set(one.stains) | set(other.stains) <= set(FAMILIES)


def test_tiles_are_of_the_patients_in_order():
    patients = [item.patient for item in HELD_OUT.tiles(2, 2, 64)]
    assert patients == ["EV0001", "EV0001", "EV0002", "EV0002"]
