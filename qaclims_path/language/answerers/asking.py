"""What answerers share: asks grouped by image, questions that fit, scores of generated words."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qaclims_path.types import Ask


@dataclass(frozen=True)
class Group:
    """The asks of one image, as positions in the whole list."""

    image: str
    asks: tuple[int, ...]


def by_image(asks: Sequence[Ask]) -> list[Group]:
    """Asks of one image together, in order of first appearance."""
    positions: dict[str, list[int]] = {}
    for position, ask in enumerate(asks):
        positions.setdefault(ask.image, []).append(position)
    return [Group(image, tuple(where)) for image, where in positions.items()]


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `count` items.

    Example:
        >>> list(batches(5, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def warn_of_cut(texts: Sequence[str], lengths: Sequence[int], context: int) -> None:
    """Name the texts that are longer than a model's context, which is given in tokens."""
    cut = list(dict.fromkeys(text for text, length in zip(texts, lengths, strict=True) if length > context))
    if cut:
        shown = ", ".join(repr(text if len(text) <= 60 else f"{text[:59]}…") for text in cut[:3])
        more = f" and {len(cut) - 3} more" if len(cut) > 3 else ""
        warnings.warn(f"Cut to the model's {context} tokens: {shown}{more}.", stacklevel=2)


def mean_log_probability(steps: Sequence[Tensor], tokens: Tensor, ends: Sequence[int]) -> Tensor:
    """Mean log probability per token of generated texts, the token that ends them included.

    Args:
        steps: T times N V, scores before the softmax.
        tokens: N T, what was generated.
        ends: Tokens that end a text; what follows the first one does not count.

    Returns:
        N, float32.
    """
    chosen = torch.stack(
        [
            scores.float().log_softmax(-1).gather(1, token[:, None])[:, 0]
            for scores, token in zip(steps, tokens.T, strict=True)
        ],
        dim=1,
    )
    counts = spoken(tokens, ends)
    return chosen.masked_fill(~counts, 0).sum(1) / counts.sum(1)


def spoken(tokens: Tensor, ends: Sequence[int]) -> Tensor:
    """N T, whether a token belongs to its text: everything up to and including the first end."""
    over = torch.isin(tokens, torch.tensor(list(ends), device=tokens.device))
    return over.cumsum(1) - over.long() == 0
