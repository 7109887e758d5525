"""Parts that answerers share: batches of images, warnings about cut questions, scores of generated words."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qaclims_path.errors import first_of
from qaclims_path.types import Answer, Ask

NO_ANSWER = Answer("", float("nan"))


@dataclass(frozen=True)
class ImageAsks:
    """The asks of one image.

    Attributes:
        image: Id of the image.
        positions: Positions of its asks in the list of all asks.
    """

    image: str
    positions: tuple[int, ...]


def by_image(asks: Sequence[Ask]) -> list[ImageAsks]:
    """Group asks by image, in order of first occurrence."""
    positions: dict[str, list[int]] = {}
    for position, ask in enumerate(asks):
        positions.setdefault(ask.image, []).append(position)
    return [ImageAsks(image, tuple(of_image)) for image, of_image in positions.items()]


def answer_by_image(
    asks: Sequence[Ask], batch: int, answer: Callable[[Sequence[ImageAsks]], Mapping[int, Answer]]
) -> list[Answer]:
    """Answer asks in batches of images, so that each image is read once.

    Args:
        asks: All asks.
        batch: Images per call of `answer`.
        answer: Answers all asks of some images; returns answers by their positions.
    """
    answers: dict[int, Answer] = {}
    images = by_image(asks)
    for part in batches(len(images), batch):
        answers |= answer(images[part])
    return [answers[position] for position in range(len(asks))]


def batches(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover `count` items.

    Examples:
        >>> list(batches(5, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def warn_about_cut_texts(texts: Sequence[str], lengths: Sequence[int], context: int) -> None:
    """Warn about texts that are longer than a model's context, in tokens."""
    cut = dict.fromkeys(text for text, length in zip(texts, lengths, strict=True) if length > context)
    if cut:
        names = [repr(text if len(text) <= 60 else f"{text[:59]}…") for text in cut]
        warnings.warn(f"Cut to the model's {context} tokens: {first_of(names, 3)}.", stacklevel=2)


def mean_log_probability(steps: Sequence[Tensor], tokens: Tensor, ends: Sequence[int]) -> Tensor:
    """Return the mean log probability per token of generated texts, including the token that ends them.

    Args:
        steps: T times N V, logits of each generated token.
        tokens: N T, the generated tokens.
        ends: Tokens that end a text; tokens after the first of them are ignored.

    Returns:
        N, float32.
    """
    chosen = torch.stack(
        [
            logits.float().log_softmax(-1).gather(1, token[:, None])[:, 0]
            for logits, token in zip(steps, tokens.T, strict=True)
        ],
        dim=1,
    )
    in_text = until_end(tokens, ends)
    return chosen.masked_fill(~in_text, 0).sum(1) / in_text.sum(1)


def until_end(tokens: Tensor, ends: Sequence[int]) -> Tensor:
    """N T, bool: tokens up to and including the first end."""
    is_end = torch.isin(tokens, torch.tensor(list(ends), device=tokens.device))
    return is_end.cumsum(1) - is_end.long() == 0
