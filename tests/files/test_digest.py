"""Digests must stay as they are: finished folders are recognised by them."""

import ast
import hashlib
from pathlib import Path

import pytest

from qaclims_path.files.digest import FULL, digest_of, digest_of_file, digest_of_json

PACKAGE = Path(__file__).resolve().parents[2] / "qaclims_path"
OTHERS = {  # hashes that are not digests of files, texts or JSON values
    "data/phantoms/stain.py",  # seeds of random numbers
    "language/answerers/file.py",  # taken line by line while a corpus is read
    "report/pages.py",  # the form that a page's content security policy needs
}


def test_texts_and_bytes_are_hashed_one_after_the_other() -> None:
    expected = hashlib.sha256("Bön\0x".encode()).hexdigest()
    assert digest_of("Bön", b"\0", memoryview(b"x"), digits=FULL) == expected
    assert digest_of("Bön\0x") == expected[:16]
    assert digest_of("\ud800")  # half of a character, as a damaged file name has it


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "weights").write_bytes(content)
    assert digest_of_file(tmp_path / "weights", FULL) == hashlib.sha256(content).hexdigest()
    assert digest_of_file(tmp_path / "weights") == digest_of(content)
    with pytest.raises(OSError, match="No such file"):
        digest_of_file(tmp_path / "nowhere")


def test_json_values_are_hashed_whatever_the_order_of_keys() -> None:
    assert digest_of_json({"b": [1, 2.5], "a": "ö"}, 12) == "94a5ed1012f0"
    assert digest_of_json({"a": "ö", "b": (1, 2.5)}, 12) == "94a5ed1012f0"
    assert digest_of_json({"a": "ö", "b": (2.5, 1)}) != digest_of_json({"a": "ö", "b": (1, 2.5)})


def test_hashes_have_one_owner() -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) and any(alias.name == "hashlib" for alias in node.names)
    }
    assert found == {"files/digest.py", *OTHERS}
