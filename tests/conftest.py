"""Fixtures that several rooms share."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # how long an example takes says more of the machine than of the code
settings.load_profile("busy")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with most slow tests first: a long file that begins last leaves the other core without work."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


WORDS = ("what", "kind", "of", "tumor", "is", "in", "the", "photo", "?", "purple", "nuclei", "stroma", "gland", "cell")
WORDS += ("around", "next", "to", "answer", ":", "unknown")
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data for measurements; tests that need it skip without it."""
    path = os.environ.get("QACLIMS_DATA")
    if not path:
        pytest.skip("set QACLIMS_DATA to the folder of real data sets to run this test")
    folder = Path(path)
    if not folder.is_dir():
        pytest.skip(f"QACLIMS_DATA={path} is not a folder")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread of torch: models this small only wait for other threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def few_words() -> tuple[str, ...]:
    """All that tiny language models can read and say."""
    return WORDS


@pytest.fixture(scope="session")
def blip_folder(tmp_path_factory, few_words):
    return save_blip(tmp_path_factory.mktemp("models") / "tiny-blip", few_words)


@pytest.fixture(scope="session")
def marked_blip_folder(tmp_path_factory, few_words):
    """The same with the token [ENC], with which released models begin a question."""
    return save_blip(tmp_path_factory.mktemp("models") / "tiny-marked-blip", few_words, "[ENC]")


def save_blip(folder, few_words, *more):
    """Save a BLIP of two narrow layers, whose weights are large enough for answers that differ."""
    import torch
    from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering, BlipImageProcessor, BlipProcessor

    words = [*MARKS, *few_words, "[DEC]", *more]
    narrow = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"encoder_hidden_size": 32, "max_position_embeddings": 32, "initializer_range": 0.4, "sep_token_id": 3}
    tokens = {"vocab_size": len(words), "bos_token_id": words.index("[DEC]"), "eos_token_id": 3, "pad_token_id": 0}
    torch.manual_seed(3)
    config = BlipConfig(
        text_config=narrow | text | tokens,
        vision_config=narrow | {"image_size": 32, "patch_size": 8, "initializer_range": 0.4},
    )
    BlipForQuestionAnswering(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    (folder / "vocab.txt").unlink()
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


DYING = """
import itertools, os, pkgutil, signal

owner, _, name = {function!r}.rpartition(".")
calls, function = itertools.count(1), pkgutil.resolve_name({function!r})

def dying(*given, **more):
    result = function(*given, **more)
    if next(calls) == {times}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(pkgutil.resolve_name(owner), name, dying)
"""


@pytest.fixture(scope="session")
def killed_after() -> Callable[..., None]:
    """Run code with arguments in a process that kills itself once a function has returned for the n-th time.

    A killer that watches from outside may come too late on a busy machine.
    """

    def run(function: str, times: int, code: str, *arguments: object) -> None:
        command = [sys.executable, "-c", DYING.format(function=function, times=times) + code, *map(str, arguments)]
        assert subprocess.run(command, check=False, timeout=300).returncode == -signal.SIGKILL

    return run


@pytest.fixture
def files_up_to() -> Callable[[int], AbstractContextManager[None]]:
    """Files may not grow beyond some bytes: what a full disk looks like to a program."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
