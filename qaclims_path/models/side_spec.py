"""Spec of what a network of maps has beside its backbone and its linear classifier, checked without torch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from qaclims_path.config import Options, parse
from qaclims_path.errors import BadConfig, BadFile

DEEPEST = 0.6  # share of the deepest head in the mean of all maps, as published
MOST_STAGES, WIDEST, FARTHEST = 64, 4096, 63  # bounds of settings that come from files
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class SideSpec(Options):
    """Heads at several depths of a backbone, and what helps them.

    Attributes:
        stages: Stages of the backbone that get a head of their own, counted from 0, shallow ones first: the features of
            a CNN at each of its strides, the blocks of a transformer. None leaves the network plain.
        width: Channels of such a head.
        gate: Multiply the channels of such a head by the sigmoid of a 1x1 convolution of the deepest features.
        context: Side in cells of a depthwise convolution, whose normed result is added to the deepest features before
            they are classified; 0 for none.
        fuse: Weights of the mean of all maps, in the order of `stages`, that of the deepest head last. If empty, the
            deepest head has 0.6, and the others have equal parts of the rest.
    """

    stages: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=MOST_STAGES)] = ()
    width: Annotated[int, Field(ge=1, le=WIDEST)] = 128
    gate: bool = False
    context: Annotated[int, Field(ge=0, le=FARTHEST)] = 0
    fuse: tuple[Weight, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing is added to the network."""
        return not self.stages and not self.context

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of each head in the mean of all maps, with the sum 1; that of the deepest head is the last."""
        if not self.stages:
            return (1.0,)
        rest = (1 - DEEPEST) / len(self.stages)
        weights = self.fuse or (*[rest] * len(self.stages), DEEPEST)
        return tuple(weight / math.fsum(weights) for weight in weights)

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if list(self.stages) != sorted(set(self.stages)):
            raise ValueError(f"the stages {_listed(self.stages)} should each be named once, shallow ones first")
        if self.context and self.context % 2 == 0:
            raise ValueError(f"a context of {self.context} cells has no middle; use an odd number such as 15")
        if self.gate and not self.stages:
            raise ValueError("there is no head to gate; name stages that get one, such as stages=[2, 3]")
        check_weights("fuse", self.fuse, self.stages)
        if self.fuse and not sum(self.fuse):
            raise ValueError("a weight of 'fuse' should be above 0")
        return self

    @classmethod
    def of_file(cls, tree: Any, path: Path) -> Self | None:  # noqa: ANN401 - whatever the file holds
        """Read the spec that the settings of a network hold; None for a network without one."""
        if tree is None:
            return None
        try:
            if not isinstance(tree, Mapping):
                raise BadConfig(f"'side' should hold settings, not {tree!r}.")
            return parse(cls, dict(tree), "its key 'side'")
        except BadConfig as error:
            raise BadFile(f"{path} cannot be read: {error} Copy it again from its run.") from error


def check_weights(name: str, weights: tuple[float, ...], stages: tuple[int, ...]) -> None:
    """Refuse weights that are not one for each head; an empty tuple stands for the default."""
    if weights and not stages:
        raise ValueError(f"'{name}' weighs heads that are not there; name stages that get one, such as stages=[2, 3]")
    if weights and len(weights) != len(stages) + 1:
        raise ValueError(
            f"'{name}' should hold {len(stages) + 1} weights, one for each of the stages {_listed(stages)} and one for "
            f"the deepest head, not {len(weights)}"
        )


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))
