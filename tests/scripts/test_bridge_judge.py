"""The bridge judge is an entry point, compares photographs with names, and refuses unknown words."""

import os
import subprocess
import sys
import zipfile

import pytest
import torch

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.judges import load_judge

LANGUAGE, CONTROL = "bridge:mobilenet_v2_1001", "bridge-groups:mobilenet_v2_1001"


@pytest.fixture
def bridge(checkout, monkeypatch):
    monkeypatch.syspath_prepend(checkout / "scripts" / "bridge_judge")
    import qaclims_bridge

    qaclims_bridge.register()
    return qaclims_bridge


@pytest.fixture
def data(real_data, bridge, monkeypatch):
    monkeypatch.setenv("QACLIMS_DATA", str(real_data))
    return real_data


def test_names_are_found_in_sentences(bridge):
    from qaclims_bridge.names import named_in, plain

    said = ["a photo of potted plant.", "a cat", "the dog.", "Street Lights", "a photo of a sheep."]
    assert [named_in(text) for text in said] == ["potted plant", "cat", "dog", "street lights", "sheep"]
    assert plain("bat_(animal)") == "bat"


def test_the_table_holds_what_it_should(bridge):
    from qaclims_bridge.names import read_aliases, read_table

    table = read_table()
    assert len(table) == 738
    assert all(table[label] == "dog" for label in range(152, 270))  # Chihuahua to Mexican hairless
    assert {table[340], table[346], table[349], table[282]} == {"horse", "cow", "sheep", "cat"}
    assert set(read_aliases().values()) <= set(table.values())
    assert 0 not in table  # 'background' is no thing


def test_padding_is_that_of_tensorflow(bridge):
    from qaclims_bridge.classifier import SamePadding

    padded = SamePadding(3)(torch.ones(1, 1, 4, 5))
    assert padded.shape == (1, 1, 5, 7)
    assert padded[0, 0, 0, 0] == 0  # odd sides are padded on both ends, even ones below
    assert padded[0, 0, 0, 1] == 1
    assert padded[0, 0, 4].sum() == 0


def test_without_the_data_one_sentence_says_what_to_do(bridge, monkeypatch, tmp_path):
    monkeypatch.delenv("QACLIMS_DATA", raising=False)
    with pytest.raises(UsageError, match="Set QACLIMS_DATA"):
        load_judge(LANGUAGE)
    monkeypatch.setenv("QACLIMS_DATA", str(tmp_path))
    with pytest.raises(BadFile, match=r"mobilenet_v2_1001\.safetensors"):
        load_judge(LANGUAGE)


def test_the_stored_table_is_the_one_that_its_script_makes(data, checkout, tmp_path):
    script = checkout / "scripts" / "bridge_judge" / "make_table.py"
    subprocess.run([sys.executable, script, "--data", data, "--out", tmp_path / "table.csv"], check=True, cwd=tmp_path)
    committed = script.parent / "qaclims_bridge" / "imagenet_names.csv"
    assert (tmp_path / "table.csv").read_text() == committed.read_text()


@pytest.mark.parametrize("name", [LANGUAGE, CONTROL])
def test_animals_are_closer_to_their_names_than_their_surroundings(data, checkout, name):
    from qaclims_path.data.cards import load_card
    from qaclims_path.data.dataset import to_tensor
    from qaclims_path.data.listing import list_records
    from qaclims_path.data.record import load_record

    judge, card = load_judge(name), load_card(checkout / "scripts" / "reproduce" / "cards" / "voc2012-animals.yaml")
    cat = card.names.index("cat")
    records = [each for each in list_records(card, data / "voc2012", "train") if each.present == (cat,)][:6]
    text = judge.encode_texts(["a photo of cat."])[0]
    apart = []
    for record in records:
        picture, _, truth = load_record(card, record)
        maps = torch.from_numpy(truth == cat)[None].float()
        prepared, owner = judge.prepare(to_tensor(picture)[None]), torch.zeros(1, dtype=torch.int64)
        inside = judge.encode_regions(prepared, maps, owner) @ text
        apart.append(float(inside - judge.encode_regions(prepared, maps, owner, outside=True) @ text))
    assert sum(apart) / len(apart) > 0.3


def test_text_space_has_language_and_the_control_has_none(data):
    names = ["cat", "kitten", "couch"]
    language, control = (load_judge(name).encode_texts(names) for name in (LANGUAGE, CONTROL))
    assert 0.5 < language[0] @ language[1] < 0.99
    assert language[0] @ language[2] < 0.2
    assert control[0] @ control[1] == pytest.approx(1)  # they share their labels
    assert control[0] @ control[2] == 0


@pytest.mark.parametrize(("name", "what"), [(LANGUAGE, "text feature"), (CONTROL, "group of labels")])
def test_words_without_features_are_refused_together(data, name, what):
    with pytest.raises(UsageError, match=f"no {what} for 'grass', 'sky'"):
        load_judge(name).encode_texts(["a photo of sky.", "couch", "grass"])


def test_every_word_of_the_offline_rows_is_known(data, checkout):
    from qaclims_path.language.lexicon import load_lexicon
    from qaclims_path.language.prompts import load_prompts

    words = checkout / "scripts" / "reproduce" / "words"
    said = [term.term for term in load_lexicon(str(words / "things.yaml"))]
    said += [*load_prompts(str(words / "background.yaml")).words, "tissue"]
    for name in (LANGUAGE, CONTROL):
        assert torch.isfinite(load_judge(name).encode_texts(said)).all()


def test_gradients_reach_the_maps(data):
    judge = load_judge(LANGUAGE)
    maps = torch.full((1, 10, 10), 0.5, requires_grad=True)
    prepared = judge.prepare(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    regions = judge.encode_regions(prepared, maps, torch.zeros(1, dtype=torch.int64))
    (regions @ judge.encode_texts(["cat"]).T).sum().backward()
    assert maps.grad is not None
    assert maps.grad.abs().sum() > 0


@pytest.mark.slow
def test_it_is_found_by_its_entry_point(data, checkout, tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, check=True, cwd=checkout / "scripts" / "bridge_judge", capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    shown = subprocess.run(
        [sys.executable, "-m", "qaclims_path", "judge", "show", LANGUAGE],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ImageNet-1k" in shown.stdout
