import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.maps import ImageMaps, MapReader, MapWriter, shard_name

CLASSES = ["tumor", "stroma", "necrosis"]
SETTINGS = {"scales": (1.0, 0.5), "model": "abc"}


def maps_of(name, classes=(0, 2), size=(20, 30), seed=0):
    values = np.random.default_rng(seed).random((len(classes), 5, 8), np.float32).astype(np.float16)
    return ImageMaps(name, tuple(classes), size, values, (0.5, 0.25, 0.125))


@pytest.fixture
def folder(tmp_path):
    writer = MapWriter(tmp_path, CLASSES, SETTINGS)
    writer.write(0, [maps_of("a[1 0 1]", seed=1), maps_of("b", (), seed=2)])
    writer.write(1, [maps_of("ç/d", (1,), seed=3)], {"broken": "it is no picture."})
    assert writer.finish(2) == {"broken": "it is no picture."}
    return tmp_path


def test_every_image_comes_back_in_any_order(folder):
    with MapReader(folder) as reader:
        assert reader.images == ("a[1 0 1]", "b", "ç/d")
        assert len(reader) == 3
        for name, classes, seed in (("ç/d", (1,), 3), ("a[1 0 1]", (0, 2), 1), ("b", (), 2)):
            wanted, found = maps_of(name, classes, seed=seed), reader[name]
            assert (found.image, found.classes, found.size) == (name, classes, (20, 30))
            assert found.maps.dtype == np.float16
            assert np.array_equal(found.maps, wanted.maps)
        assert [each.image for each in reader] == list(reader.images)
        assert reader.classes == tuple(CLASSES)
        assert reader.probabilities()["b"] == (0.5, 0.25, 0.125)
        assert reader.failed == {"broken": "it is no picture."}
        assert "b" in reader
        assert "broken" not in reader


def test_maps_of_every_scale_come_back(tmp_path):
    rng = np.random.default_rng(0)
    scales = tuple(rng.random((2, side, side + 1)).astype(np.float16) for side in (3, 2, 5))
    writer = MapWriter(tmp_path, CLASSES, {})
    writer.write(0, [replace(maps_of("a"), scales=scales), maps_of("b")])
    writer.finish(1)
    with MapReader(tmp_path) as reader:
        assert [np.array_equal(found, wanted) for found, wanted in zip(reader["a"].scales, scales, strict=True)] == [
            True
        ] * 3
        assert reader["b"].scales == ()
        assert reader.images == ("a", "b")


def test_lost_maps_of_a_scale_are_a_sentence(tmp_path):
    writer = MapWriter(tmp_path, CLASSES, {})
    writer.write(0, [maps_of("a")])
    writer.finish(1)
    index = json.loads((tmp_path / "index.json").read_text())
    index["images"]["a"]["scales"] = 2
    (tmp_path / "index.json").write_text(json.dumps(index))
    with MapReader(tmp_path) as reader, pytest.raises(BadFile, match=r"is damaged.*make the maps again"):
        reader["a"]


def test_a_reader_can_be_sent_to_other_processes(folder):
    reader = MapReader(folder)
    assert reader["b"].maps.shape == (0, 5, 8)
    again = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(again["a[1 0 1]"].maps, reader["a[1 0 1]"].maps)


def test_many_shards_do_not_stay_open(tmp_path):
    writer = MapWriter(tmp_path, CLASSES, {})
    for shard in range(20):
        writer.write(shard, [maps_of(f"image {shard}", seed=shard)])
    writer.finish(20)
    reader = MapReader(tmp_path)
    assert all(np.array_equal(each.maps, maps_of("", seed=number).maps) for number, each in enumerate(reader))
    assert len(reader._open) <= 8


class Contested(dict):
    """Open files of which another thread always closes the oldest first."""

    def pop(self, key, *default):
        super().pop(key)
        return super().pop(key, *default)


def test_threads_may_close_the_same_file(folder, monkeypatch):
    monkeypatch.setattr("qaclims_path.files.maps.OPEN_FILES", 1)
    reader = MapReader(folder)
    reader._open = Contested()
    assert [each.image for each in (*reader, *reader)] == [*reader.images, *reader.images]
    assert len(reader._open) == 1


def test_unfinished_is_never_taken_for_finished(tmp_path):
    with pytest.raises(BadFile, match="do not exist"):
        MapReader(tmp_path)
    writer = MapWriter(tmp_path, CLASSES, SETTINGS)
    writer.write(0, [maps_of("a")])
    with pytest.raises(BadFile, match="are not finished"):
        MapReader(tmp_path)
    again = MapWriter(tmp_path, CLASSES, SETTINGS)
    assert again.has(0)
    assert not again.has(1)


def test_other_settings_are_refused(folder):
    with pytest.raises(UsageError, match=r"made with other options: scales was \[1\.0, 0\.5\], now \[1\.0\]"):
        MapWriter(folder, CLASSES, {**SETTINGS, "scales": [1.0]})
    with pytest.raises(UsageError, match="options: classes was"):
        MapWriter(folder, ["gland"], SETTINGS)


def test_failed_images_are_tried_again(folder):
    writer = MapWriter(folder, CLASSES, SETTINGS)
    assert writer.retry_failed() == [1]
    assert writer.has(0)
    assert not writer.has(1)
    with pytest.raises(BadFile, match="are not finished"):
        MapReader(folder)
    writer.write(1, [maps_of("ç/d", (1,)), maps_of("broken")])
    assert writer.finish(2) == {}
    assert "broken" in MapReader(folder)
    assert writer.retry_failed() == []


def test_a_shard_may_be_empty(tmp_path):
    writer = MapWriter(tmp_path, CLASSES, {})
    writer.write(0, [], {"a": "it is broken."})
    assert writer.finish(1) == {"a": "it is broken."}
    assert len(MapReader(tmp_path)) == 0


def test_missing_data_are_sentences(folder):
    reader = MapReader(folder)
    with pytest.raises(BadFile, match="no maps of 'broken': it is no picture"):
        reader["broken"]
    with pytest.raises(BadFile, match="no maps of 'other'"):
        reader["other"]


def test_damage_is_a_sentence(folder):
    path = folder / shard_name(0)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(BadFile, match="is damaged"):
        MapReader(folder)["b"]
    with pytest.raises(BadFile, match="is damaged"):
        MapWriter(folder, CLASSES, SETTINGS).finish(2)
    (folder / "index.json").write_text("[]")
    with pytest.raises(BadFile, match="should hold an object"):
        MapReader(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(BadFile, match="cannot be read"):
        MapReader(folder)
    (folder / "index.json").write_text(json.dumps({"images": {}, "failed": {}}))
    (folder / "maps.json").write_text(json.dumps({"schema": 7, "classes": []}))
    with pytest.raises(BadFile, match="not written by this version"):
        MapReader(folder)


def test_a_set_is_much_smaller_than_the_published_pickles(tmp_path):
    """Published: fp32 at stride 4 and at full size, of the classes present."""
    maps = np.random.default_rng(0).random((2, 94, 125), np.float32)
    published = maps.nbytes + 2 * 375 * 500 * 4
    writer = MapWriter(tmp_path, CLASSES, {})
    images = [ImageMaps(f"{n}", (0, 1), (375, 500), maps.astype(np.float16), (0.1, 0.2, 0.3)) for n in range(8)]
    writer.write(0, images)
    writer.finish(1)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) * 20 < 8 * published


def test_temporary_files_of_a_killed_writer_are_removed(folder):
    torn = folder / ".maps-00002.123.part.safetensors"
    torn.write_bytes(b"half")
    MapWriter(folder, CLASSES, SETTINGS)
    assert not torn.exists()
    assert (folder / shard_name(1)).exists()
