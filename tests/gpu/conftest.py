"""The pretended GPU, trainings on it step by step, and tiny data and models that its tests share."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.fake import write_fake
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.data.protocol import load_protocol
from qaclims_path.engine import distributed
from qaclims_path.engine.settings import RunSettings
from qaclims_path.engine.training import Training
from qaclims_path.language.corpus import CorpusAnswer, Entry, to_line
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import SegmenterSpec
from qaclims_path.pipeline.segmenter.train import channels_of

HERE = Path(__file__).parent
DATA, SPLIT = "bcss-wsss", "train"


def load(path: str) -> ModuleType:
    """Load a module of the tests by its path from here."""
    file = (HERE / path).resolve()
    spec = importlib.util.spec_from_file_location(f"gpu_{'_'.join(file.parts[-3:])}".removesuffix(".py"), file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_thread: None) -> None:
    """Use one thread in every test."""


@pytest.fixture(scope="session")
def load_tests() -> Callable[[str], ModuleType]:
    """Load a module of the tests by its path from here."""
    return load


@pytest.fixture(scope="session")
def pretend() -> ModuleType:
    """The module `pretend.py`."""
    return load("pretend.py")


@pytest.fixture
def gpu(pretend: ModuleType) -> Iterator[Any]:
    """Notes of a pretended GPU, which is there during the test."""
    with pretend.pretended_gpu() as notes:
        yield notes


@pytest.fixture(scope="session")
def check() -> Callable[..., None]:
    """Refuse mixed devices, and more waits or copies than the table of `ceilings.py` allows."""
    table = load("ceilings.py").CEILINGS

    def checked(notes: Any, *names: str, times: int = 1) -> None:
        allowed = [table[name] for name in names]
        waits, copies = (times * sum(each[i] for each in allowed) for i in range(2))
        assert not notes.mixes, notes
        assert notes.waits.total() <= waits, f"{waits} waits are allowed: {notes}"
        assert notes.copies.total() <= copies, f"{copies} blocking copies are allowed: {notes}"

    return checked


@pytest.fixture
def steps(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Notes of each step of the trainings in a test, all of which run on the pretended GPU."""
    seen: list[Any] = []
    run_step = Training._run_step

    def noted(*arguments: Any) -> bool:
        before = deepcopy(gpu)
        stop = run_step(*arguments)
        seen.append(gpu - before)
        return stop

    def fabric(**_: Any) -> Any:
        return SimpleNamespace(global_rank=0, world_size=1, device=torch.device("cuda", 0), launch=lambda: None)

    monkeypatch.setattr(Training, "_run_step", noted)
    monkeypatch.setattr(distributed, "Fabric", fabric)
    return seen


@pytest.fixture(scope="session")
def running() -> Callable[..., RunSettings]:
    """Make the settings of one process on a GPU that loads its data itself."""
    usual = {"devices": 1, "accelerator": "cuda", "precision": "bf16", "workers": 0, "quiet": True, "loggers": ()}
    return lambda **changes: RunSettings(**usual | changes)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up data set of four images."""
    folder = tmp_path_factory.mktemp("data") / DATA
    write_fake(load_card(DATA), folder, images=4)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Answers about the made-up images; some classes have no answers about their surroundings."""
    samples = open_dataset(DATA, data, SPLIT, masks=False)
    entries = []
    for number, sample in enumerate(samples[i] for i in range(len(samples))):
        for label in sample.present.nonzero()[:, 0].tolist():
            own, around = [f"dense cells {number}", samples.classes[label]], ["collagen", "fat"][: number % 3]
            said = (tuple(CorpusAnswer("asked", text, text) for text in texts) for texts in (own, around))
            entries.append(Entry(sample.id, samples.classes[label], *said))
    path = tmp_path_factory.mktemp("corpus") / "answers.jsonl"
    path.write_bytes(b"".join(to_line(entry) for entry in entries))
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a tiny CLIP in the format of transformers."""
    judges = load("../models/judges/conftest.py")
    judges.CONTEXT = 77  # room for whole sentences
    return judges.save_transformers(tmp_path_factory.mktemp("judges") / "clip", "clip")


@pytest.fixture(scope="session")
def glas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up data set of four images with masks."""
    folder = tmp_path_factory.mktemp("data") / "glas"
    write_fake(load_card("glas"), folder, images=4)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny segmenter of slides."""
    return load("../pipeline/inference/conftest.py").save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def fitting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny segmenter for the classes of the made-up data set."""
    card, folder = load_card(DATA), tmp_path_factory.mktemp("models") / "fitting"
    spec = SegmenterSpec("unet", find_backbone("test_resnet"), channels_of(card, load_protocol(card.protocols[0])))
    Segmenter(spec).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom slide of 320 x 256 pixels."""
    folder = tmp_path_factory.mktemp("slides")
    write_slide(folder, "s0", PhantomSpec(0, 320, 256, mpp=0.5, patient="P0"))
    return next(folder.glob("s0.*tif*"))
