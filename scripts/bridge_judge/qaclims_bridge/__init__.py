"""A judge without a vision-language model: a frozen ImageNet classifier, bridged into CLIP's text space.

An image becomes the convex combination of the text features of the classifier's labels, weighted by their probabilities
(as in ConSE, Norouzi et al., ICLR 2014), so that it can be compared with any name that has a feature. The entry points
of `pyproject.toml` register two families, and `id` names the weights: `bridge:mobilenet_v2_1001` and its control
`bridge-groups:mobilenet_v2_1001`. The control has no text space: a name stands only for the labels with that name. Both
have the same second network; only the first has language.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_bridge.classifier import load_classifier
from qaclims_bridge.names import known_or_refuse, read_aliases, read_features, read_table
from qaclims_path.errors import UsageError
from qaclims_path.models.judges import JUDGES, Source
from qaclims_path.models.judges.frozen import Towers, weights_hash
from qaclims_path.types import JudgeCard

DATA_VARIABLE = "QACLIMS_DATA"
SIZE = 160  # pixels; separates regions better than 224
HALF = (0.5, 0.5, 0.5)  # x / 127.5 - 1
CLIP_TEMPERATURE = 0.01
FAMILIES = "bridge", "bridge-groups"


class Bridge(nn.Module):
    """A classifier with features of its labels and of names. Renaming a buffer would change the weights' hash.

    Attributes:
        labels: M, labels that have a name.
        places: M D, features of these labels.
        names: N D, features of names.
    """

    labels: Tensor
    places: Tensor
    names: Tensor

    def __init__(self, classifier: nn.Module, labels: Tensor, places: Tensor, names: Tensor) -> None:
        super().__init__()
        self.classifier = classifier
        self.register_buffer("labels", labels)
        self.register_buffer("places", places)
        self.register_buffer("names", names)

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Return probabilities (P M) of the labels that have a name for normalised pixels (P 3 S S)."""
        return torch.softmax(self.classifier(pixels).float(), dim=1)[:, self.labels]

    def combined(self, pixels: Tensor) -> Tensor:
        """Return the labels' features, weighted by their probabilities (P D)."""
        return self.probabilities(pixels) @ self.places

    def summed(self, pixels: Tensor) -> Tensor:
        """Return the root of each group's probability (P D); the cosine with its name is the root of its share."""
        return (self.combined(pixels) + 1e-12).sqrt()

    def looked_up(self, tokens: Tensor) -> Tensor:
        """Return the features (N D) of rows (N 1)."""
        return self.names[tokens[:, 0]]


def load(source: Source) -> Towers:
    """Load the judge: images and texts in CLIP's text space, with the mean of all labels subtracted.

    The mean is the output of a classifier without preference. Raw cosines are close together: with 'cat', .97 for cats
    and .88 for their surroundings, against .63 and -.06 after the subtraction.
    """
    root = data_folder()
    classifier, features, table = load_classifier(root, source.name), read_features(root), read_table()
    known = list(features.rows)
    seen = features.of(table.values())
    places, names = (F.normalize(each - seen.mean(0), dim=1) for each in (seen, features.of(known)))
    bridge = Bridge(classifier, torch.tensor(list(table)), places, names)
    rows = {name: row for row, name in enumerate(known)}

    def tokenise(texts: Sequence[str]) -> Tensor:
        return _tokens(known_or_refuse(texts, rows, "text feature"), rows)

    card = _card(source, bridge, f"{len(table)} of its 1000 labels have one of {len(known)} names with a CLIP feature")
    return Towers(card, bridge, image=bridge.combined, text=bridge.looked_up, tokenise=tokenise)


def load_groups(source: Source) -> Towers:
    """Load the control without a text space: labels of one name are a group, and groups are orthogonal."""
    root = data_folder()
    classifier, table = load_classifier(root, source.name), read_table()
    groups = list(dict.fromkeys(table.values()))
    places = F.one_hot(torch.tensor([groups.index(name) for name in table.values()]), len(groups)).float()
    bridge = Bridge(classifier, torch.tensor(list(table)), places, torch.eye(len(groups)))
    rows = {name: row for row, name in enumerate(groups)}
    rows |= {name: rows[other] for name, other in read_aliases().items()}

    def tokenise(texts: Sequence[str]) -> Tensor:
        return _tokens(known_or_refuse(texts, rows, "group of labels"), rows)

    card = _card(source, bridge, f"{len(table)} of its 1000 labels in {len(groups)} groups; no text space")
    return Towers(card, bridge, image=bridge.summed, text=bridge.looked_up, tokenise=tokenise)


def data_folder() -> Path:
    """Return the folder with `weights/` and `text-embeddings/`."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        raise UsageError(
            f"Set {DATA_VARIABLE} to the folder that holds weights/ and text-embeddings/; the bridge reads both."
        )
    return Path(folder)


def register() -> None:
    """Register the families without an installation, for scripts with this folder on their path."""
    for name, family in zip(FAMILIES, (load, load_groups), strict=True):
        if name not in JUDGES:
            JUDGES.add(name)(family)


def _tokens(names: Sequence[str], rows: dict[str, int]) -> Tensor:
    return torch.tensor([[rows[name]] for name in names])


def _card(source: Source, bridge: Bridge, said: str) -> JudgeCard:
    table = hashlib.sha256(bridge.labels.numpy().tobytes()).hexdigest()[:8]
    return JudgeCard(
        id=source.id,
        revision=f"{weights_hash(bridge.state_dict())} {table}",
        family=source.id.partition(":")[0],
        input_size=SIZE,
        mean=HALF,
        std=HALF,
        width=bridge.names.shape[1],
        context=1,
        temperature=CLIP_TEMPERATURE,
        trained_on=f"ImageNet-1k, photographs of objects; {said}.",
        warning="A substitute without a vision-language model. It knows names of objects and hardly any of stuff.",
    )
