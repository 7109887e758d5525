"""Cards of one split, and small pictures on disk."""

import numpy as np
import pytest

from qaclims_path.data.card import Card
from qaclims_path.files.images import write_image, write_mask


@pytest.fixture
def make_card():
    """Build a card of classes a, b, c (codes 0, 1, 2; 3 is background, 255 ignored) with one split `one`."""

    def build(form, split, **fields):
        classes = fields.pop("classes", [{"name": n, "color": (9 * i, 0, 9)} for i, n in enumerate("abc")])
        facts = {
            "name": "tried",
            "title": "Tried",
            "domain": "any",
            "format": form,
            "classes": classes,
            "background": {},
            "codes": {**{str(i): info["name"] for i, info in enumerate(classes)}, "9": "background", "255": "ignore"},
            "splits": {"one": {"part": "train", "supervision": "labels", **split}},
            "protocols": ["voc"],
            "licence": "none",
            "citation": "none",
            "get": "nowhere",
        }
        return Card.model_validate({**facts, **fields})

    return build


@pytest.fixture
def put():
    """Write empty files: listing opens none of them."""

    def write(folder, *names):
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).touch()

    return write


@pytest.fixture
def draw():
    """Write one 4 x 6 picture, or a mask of one code."""

    def write(path, code=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        if code is None:
            write_image(path, np.full((4, 6, 3), 90, np.uint8))
        else:
            write_mask(path, np.full((4, 6), code, np.uint8))

    return write
