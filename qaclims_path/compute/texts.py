"""Text features of (image, class) pairs, as rows of one matrix."""

import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.segments import counts, segment_mean
from qaclims_path.types import PairTexts


def mixed_texts(texts: PairTexts, label_share: float = 0.5, *, normalise: bool = False) -> Tensor:
    """Mix the features of each pair's class: its name and the mean of its answers; only the name without answers.

    Args:
        texts: P pairs.
        label_share: Weight of the name, 0..1; the answers have the rest.
        normalise: Scale the mixture to length 1. Not done as published, so that pairs whose answers disagree have less
            weight.

    Returns:
        P D.
    """
    name = texts.features[texts.label]
    owner = texts.foreground_owner
    answers = segment_mean(texts.features[texts.foreground], owner, len(name))
    told = counts(owner, len(name))[:, None] > 0
    mixed = torch.where(told, label_share * name + (1 - label_share) * answers, name)
    return F.normalize(mixed, dim=-1) if normalise else mixed


def take_rows(values: Tensor, offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Take rows of a CSR list, in the order of `rows`.

    Args:
        values: G.
        offsets: N+1, ascending from 0 to G.
        rows: P, in 0..N-1, repetition allowed.

    Returns:
        Values of the rows, and the position in `rows` that owns each of them.

    Examples:
        >>> take_rows(torch.tensor([7, 8, 9]), torch.tensor([0, 2, 2, 3]), torch.tensor([2, 0]))
        (tensor([9, 7, 8]), tensor([0, 1, 1]))
    """
    sizes = offsets[rows + 1] - offsets[rows]
    owner = torch.arange(len(rows)).repeat_interleave(sizes)
    shift = offsets[rows] - (sizes.cumsum(0) - sizes)
    return values[shift[owner] + torch.arange(len(owner))], owner
