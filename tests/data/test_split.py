"""Splits with their records and protocol, and the card that belongs to a folder."""

import pytest

from qaclims_path.data.cards import card_of, load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.data.split import open_split
from qaclims_path.errors import UsageError

CARD = load_card("bcss-wsss")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "BCSS-WSSS"
    write_fake(CARD, folder, images=2)
    return folder


def test_a_split_holds_its_records_and_its_protocol(root):
    split = open_split("bcss-wsss", root, "val")
    assert list(split.records) == list_records(CARD, root, "val")
    assert (split.name, split.root, split.rules.name) == ("val", root, CARD.protocols[0])
    assert split.has_masks
    assert split.scored_records() == list(split.records)
    assert open_split(CARD, str(root), "val", "tpro").rules.name == "tpro"


def test_a_split_without_masks_is_not_scored(root):
    split = open_split(CARD, root, "train")
    assert not split.has_masks
    with pytest.raises(UsageError, match=r"trains on image labels.*Splits with masks: val, test"):
        split.scored_records()


def test_a_protocol_that_the_card_does_not_list_is_refused(root):
    with pytest.raises(UsageError, match="not scored under the protocol 'voc'"):
        open_split(CARD, root, "train", "voc")


def test_the_card_asked_for_comes_before_that_of_the_folder_and_that_before_another(tmp_path):
    with pytest.raises(UsageError, match=r"config\.yaml is missing or names no `dataset`\. Name .* with --dataset"):
        card_of(tmp_path)
    assert card_of(tmp_path, default="glas").name == "glas"
    (tmp_path / "config.yaml").write_text("dataset: voc2012\n")
    assert card_of(tmp_path, default="glas").name == "voc2012"
    assert card_of(tmp_path, "wsss4luad").name == "wsss4luad"
    assert card_of(tmp_path, CARD) is CARD


def test_published_rows_are_those_of_the_same_split_protocol_gate_and_step():
    rows = CARD.published_like("test", "pbip", "oracle", "seg")
    assert rows
    assert {(row.split, row.protocol, row.gate, row.what) for row in rows} == {("test", "pbip", "oracle", "seg")}
    assert len(CARD.published_like("test", "pbip", "oracle", None)) >= len(rows)
    assert CARD.published_like("val", "pbip", "oracle", "seg") == ()
