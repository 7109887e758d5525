"""Random states derived from (seed, step, image), so resuming needs no saved random state."""

import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from qaclims_path.errors import UsageError


def seed_all(*keys: int) -> None:
    """Seed Python, NumPy and torch from integers such as (seed, step, rank).

    Examples:
        >>> seed_all(0, 7); a = torch.rand(1); seed_all(0, 7); bool(a == torch.rand(1))
        True
    """
    words = np.random.SeedSequence(keys).generate_state(3, np.uint32)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.default_generator.manual_seed(int(words[2]))
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        # torch.manual_seed would store a traceback per call if CUDA is not initialised
        torch.cuda.manual_seed_all(int(words[2]))


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the CPU's random states when the block ends."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@contextmanager
def determinism(*, strict: bool) -> Iterator[None]:
    """Run a block with torch's deterministic algorithms if `strict`; some are slower.

    Raises:
        UsageError: An operation has none on this device; torch raises it the first time that it is called.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if strict:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS requires it
    torch.use_deterministic_algorithms(strict or before[0])
    torch.backends.cudnn.benchmark = not strict and torch.cuda.is_available()
    try:
        yield
    except RuntimeError as error:
        found = re.match(r"(\w+) does not have a deterministic implementation", str(error))
        if not found:
            raise
        raise UsageError(
            f"torch's {found[1]} is not deterministic on this device, but 'deterministic: true' is set. Set "
            "deterministic to false."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
