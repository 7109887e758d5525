"""Data that the script makes: painted tiles, and training data of the judge of glands."""

import shutil

import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.pipeline.datasets.fake import make_fake
from qaclims_path.pipeline.datasets.options import FakeOptions


def test_painted_tiles_are_as_many_as_estimated_and_never_taken_for_others(scripts, tmp_path):
    from reproduce.phantom import MARK, PATIENTS, TILES, paint, tiles_of

    card, root = scripts / "reproduce" / "cards" / "phantom-ceiling.yaml", tmp_path / "phantom" / "data"
    paint(card, root, quick=True)
    for split in ("train", "val", "supervised"):
        assert len(list_records(load_card(card), root, split)) == tiles_of(split, quick=True)
    assert tiles_of("supervised", quick=False) == PATIENTS["train"] * TILES
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    paint(card, root, quick=True)
    with pytest.raises(UsageError, match=r"patients.train was 1, now 20.* Choose another --out"):
        paint(card, root, quick=False)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    (root / MARK).unlink()
    with pytest.raises(UsageError, match=r"data holds '.*', which this script did not write\. Choose another --out"):
        paint(card, root, quick=True)


def test_the_judge_of_glands_learns_from_labels_of_both_sets(scripts, tmp_path):
    from reproduce.glands import gather

    cards = scripts / "reproduce" / "cards"
    for name, folder in (("glas-patches", "glas"), ("wsss4luad-ceiling", "wsss4luad")):
        make_fake(load_card(cards / f"{name}.yaml"), tmp_path / folder, FakeOptions(images=8))
    gather(cards, tmp_path, tmp_path / "lesson")
    card = load_card(cards / "glands.yaml")
    assert card.split("train").labels_from == "table"
    records = list_records(card, tmp_path / "lesson", "train")
    held = {record.id: {card.names[label] for label in record.present or ()} for record in records}
    of_glas = list_records(load_card(cards / "glas-patches.yaml"), tmp_path / "glas", "train")
    of_luad = list_records(load_card(cards / "wsss4luad-ceiling.yaml"), tmp_path / "wsss4luad", "train")
    assert len(held) == len(of_glas) + len(of_luad)
    for record in of_glas:
        assert held[f"glas-{record.id}"] == {"stroma"} | ({"gland"} if record.present else set())
    renamed = "gland", "stroma", "normal_lung"
    for record in of_luad:
        assert held[f"wsss4luad-{record.id}"] == {renamed[label] for label in record.present or ()}
    before = (tmp_path / "lesson" / "labels.csv").stat().st_mtime_ns
    gather(cards, tmp_path, tmp_path / "lesson")
    assert (tmp_path / "lesson" / "labels.csv").stat().st_mtime_ns == before
    shutil.rmtree(tmp_path / "wsss4luad")
    with pytest.raises(QaclimsError, match="wsss4luad"):
        gather(cards, tmp_path, tmp_path / "other")
    assert not (tmp_path / "other").exists()
