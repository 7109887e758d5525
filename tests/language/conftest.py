"""A small judge: a text encoder on bytes with random weights."""

import hashlib
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.types import JudgeCard

WIDTH = 24
CONTEXT = 64


class ByteJudge:
    """Encodes only texts, and records them, so that tests see what was encoded again."""

    def __init__(self, *, revision: str = "one", width: int = WIDTH) -> None:
        generator = torch.Generator().manual_seed(int(hashlib.sha256(revision.encode()).hexdigest()[:8], 16))
        self.module = nn.ModuleDict(
            {
                "words": nn.Embedding(257, 16, padding_idx=256),
                "positions": nn.Embedding(CONTEXT, 16),
                "read": nn.Linear(16, width),
            }
        )
        for weights in self.module.parameters():
            weights.data = torch.randn(weights.shape, generator=generator) * 0.5
        self.card = JudgeCard(
            id="byte-judge",
            revision=revision,
            family="test",
            input_size=8,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            width=width,
            context=CONTEXT,
            temperature=0.1,
        )
        self.device = torch.device("cpu")
        self.asked: list[list[str]] = []

    def prepare(self, images: Tensor) -> Tensor:
        return F.interpolate(images, (8, 8)) * 2 - 1

    def encode_regions(self, prepared: Tensor, maps: Tensor, owner: Tensor) -> Tensor:
        raise NotImplementedError

    def encode_images(self, prepared: Tensor) -> Tensor:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        self.asked.append(list(texts))
        tokens = [torch.tensor([*text.encode()[:CONTEXT]], dtype=torch.int64) for text in texts]
        padded = nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=256)
        words = self.module["words"](padded) * self.module["positions"](torch.arange(padded.shape[1]))
        words = words.masked_fill((padded == 256)[..., None], 0)  # so padding changes nothing
        return F.normalize(self.module["read"](words.sum(1)), dim=-1)


@pytest.fixture
def byte_judge() -> Callable[..., ByteJudge]:
    """Makes judges; equal arguments give equal weights."""
    return ByteJudge
