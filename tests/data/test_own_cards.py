"""Cards that extend others, cards outside the package, and bad cards."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from qaclims_path.config import parse
from qaclims_path.data.card import IGNORE, Card
from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadConfig, NotRegistered, UsageError

OFFLINE = Path(__file__).resolve().parents[2] / "scripts" / "reproduce" / "cards"
TINY = {
    "name": "tiny",
    "title": "Tiny",
    "domain": "any",
    "format": "folder",
    "classes": [{"name": "a", "color": [255, 0, 0]}, {"name": "b", "color": [0, 255, 0]}],
    "background": {},
    "codes": {0: "background", 1: "a", 2: "b", 255: "ignore"},
    "splits": {"val": {"part": "val", "supervision": "masks", "images": ["i"], "masks": ["m"], "labels_from": "masks"}},
    "protocols": ["tissue"],
    "licence": "-",
    "citation": "-",
    "get": "-",
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}), encoding="utf-8")
    return path


def test_the_animal_subset_keeps_what_it_does_not_change() -> None:
    whole, part = load_card("voc2012"), load_card(OFFLINE / "voc2012-animals.yaml")
    assert part.names == ("cat", "cow", "dog", "horse", "person", "sheep")
    assert part.label_order == whole.names
    assert part.splits["val"].list == whole.splits["val"].list
    assert part.splits["val"].count == 120
    codes = np.array([[0, 8, 10, 12, 13, 15, 17, 9, 20, 255]], np.uint8)
    assert part.decode(codes, "test").tolist() == [[6, 0, 1, 2, 3, 4, 5, 6, 6, IGNORE]]
    kept = {info.name: info.color for info in whole.classes}
    assert all(kept[info.name] == info.color for info in part.classes)


def test_null_takes_an_inherited_entry_away(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: folder\nname: mine\nsplits: {test: null, train: null}\ncodes: {255: null}\n")
    card = load_card(path)
    assert list(card.splits) == ["val"]
    assert card.codes == {"0": "background", "1": "foreground"}


def test_a_card_in_a_folder_of_the_user_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny").mkdir()
    written(tmp_path / "tiny")
    monkeypatch.setenv("QACLIMS_DATASETS", os.pathsep.join([str(tmp_path / "none"), str(tmp_path)]))
    assert load_card("tiny").title == "Tiny"
    assert load_card(tmp_path / "tiny").title == "Tiny"
    (tmp_path / "voc2012").mkdir()
    written(tmp_path / "voc2012", title="mine comes first")
    assert load_card("voc2012").title == "mine comes first"


def test_a_card_of_another_package_is_found(tmp_path: Path) -> None:
    written(tmp_path, name="theirs")
    (tmp_path / "their_cards.py").write_text(
        "from pathlib import Path\ndef tiny():\n    return Path(__file__).parent / 'card.yaml'\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[qaclims_path.datasets]\ntheirs = their_cards:tiny\n")
    code = "from qaclims_path.data.cards import load_card; assert load_card('theirs').title == 'Tiny'"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_torch_is_needed_to_read_cards() -> None:
    code = (
        "import sys; from qaclims_path.data.cards import card_paths, load_card\n"
        "[load_card(name) for name in card_paths()]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_unknown_data_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        NotRegistered, match=r"no data set 'bcss-wss'\. Did you mean 'bcss-wsss'\?.*--card FILE"
    ) as caught:
        load_card("bcss-wss")
    assert caught.value.exit_code == 2


# Bad cards: one sentence each


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"codes": {"0": "a", "0-1": "b"}}, r"code 0 is mapped twice, to 'a' and to 'b'"),
        ({"codes": {1: "a", "1": "b"}}, r"'codes': 1 is written twice, as a number and as text"),
        ({"codes": {0: "background", 1: "a"}}, r"no mask code is mapped to b"),
        ({"codes": {1: "a", 2: "bb"}}, r"code 2 is mapped to 'bb'\. .*Known: a, b, background, ignore"),
        ({"codes": {1: "a", 2: "b", 256: "ignore"}}, r"'256' is not a mask code; write 0\.\.255"),
        ({"codes": {1: "a", 2: "b", "9-3": "ignore"}}, r"'9-3' is not a mask code"),
        ({"codes": {1: "a", 2: "b", "yes": "ignore"}}, r"'yes' is not a mask code"),
        ({"codes": ["a", "b"]}, r"'codes': Input should be a valid dictionary"),
        ({"background": None}, r"a code is mapped to background, but the card has no `background` entry"),
        (
            {"classes": [{"name": "a", "color": [0, 0, n]} for n in (0, 1)], "codes": {1: "a"}},
            r"class a is listed twice",
        ),
        ({"classes": [{"name": "background", "color": [0, 0, 0]}]}, r"a class may not be called background"),
        ({"classes": [{"name": "a,b", "color": [0, 0, 0]}]}, r"'classes\.0\.name'"),
        ({"classes": [{"name": "a", "color": [0, 0, 256]}]}, r"'classes\.0\.color\.2'.*less than or equal to 255"),
        (
            {"classes": [{"name": "a", "colour": [0, 0, 0]}]},
            r"unknown key 'classes\.0\.colour'\. Did you mean 'color'\?",
        ),
        ({"classes": []}, r"'classes'"),
        ({"licens": "x"}, r"unknown key 'licens'\. Did you mean 'licence'\?"),
        ({"mpp": 0}, r"'mpp': Input should be greater than 0"),
        ({"patient": "(["}, r"'patient': '\(\[' is not a regular expression"),
        ({"splits": {}}, r"'splits'"),
        (
            {"splits": {"val": {**TINY["splits"]["val"], "mask": ["m"]}}},
            r"unknown key 'splits\.val\.mask'\. Did you mean 'masks'",
        ),
        ({"splits": {"val": {**TINY["splits"]["val"], "match": "*"}}}, r"'splits\.val\.match': '\*' is not a regular"),
        (
            {"splits": {"val": {**TINY["splits"]["val"], "supervision": "labels"}}},
            r"trains on image labels cannot take them",
        ),
        ({"splits": {"val": {"part": "val"}}}, r"'splits\.val\.supervision' is missing"),
        (
            {"published": [{"method": "m", "source": "s", "protocol": "pbip", "gate": "none", "per_class": {"c": 1}}]},
            r"a published row scores a class that is not on the card",
        ),
        ({"extends": "folderr"}, r"no data set 'folderr'\. Did you mean 'folder'\?"),
        ({"extends": "none.yaml"}, r"none\.yaml cannot be read: No such file"),
        ({"extends": "card.yaml"}, r"extends itself: card\.yaml -> card\.yaml"),
    ],
)
def test_a_bad_card_says_what_is_wrong(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        load_card(written(tmp_path, **changes))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(BadConfig) as caught:
        parse(Card, {**TINY, "domian": "any", "mpp": -1, "protocols": []}, "card.yaml")
    assert all(word in str(caught.value) for word in ("card.yaml", "'domian'", "'mpp'", "'protocols'"))


def test_two_cards_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("extends: two.yaml\n")
    (tmp_path / "two.yaml").write_text("extends: ./one.yaml\n")
    with pytest.raises(BadConfig, match=r"extends itself: one\.yaml -> two\.yaml -> one\.yaml"):
        load_card(tmp_path / "one.yaml")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"codes: &c {1: a}\nmore: *c\n", r"line 2: aliases \(\*name\) are not allowed"),
        (b"name: a\nname: b\n", r"line 2: the key 'name' is written twice"),
        (b"codes: {1: a, 1: b}\n", r"line 1: the key '1' is written twice"),
        (b"name: a\n\ttitle: b\n", r"line 2: "),
        (b"\x89PNG\r\n\x1a\n\x00\x00", r"is not a readable YAML text file"),
        (b"name: \x00\n", r"is not a readable YAML text file"),
        (b"", r"should hold `key: value` lines"),
        (b"- a\n- b\n", r"should hold `key: value` lines, not a list"),
        (b"just words\n", r"should hold `key: value` lines, not a str"),
        (b"a: !!python/object/apply:os.system [ls]\n", r"line 1: "),
        (b"a: " + b"[" * 5000, r"nested too deeply|line 1"),
        (b"{a: 1}: b\n", r"line 1: a key must be one word or number"),
        (b"? [[1], [2]]\n: b\n", r"line 1: a key must be one word or number"),
        (b"name: " + b"x" * 4_000_001, r"is larger than 4 MB"),
    ],
    ids=[
        "alias",
        "twice",
        "code twice",
        "tab",
        "picture",
        "zero byte",
        "empty",
        "list",
        "text",
        "object",
        "deep",
        "mapping as key",
        "list as key",
        "huge",
    ],
)
def test_a_file_that_is_no_card_says_so(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_bytes(content)
    with pytest.raises(BadConfig, match=sentence) as caught:
        load_card(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"card\.yaml cannot be read: No such file"):
        load_card(f"{tmp_path}/")


def test_a_card_behind_a_circular_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    with pytest.raises(BadConfig, match=r"cannot be read: Too many levels of symbolic links"):
        load_card(tmp_path / "a.yaml")
