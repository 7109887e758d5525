"""A training step against a slow twin that looks at one pair after the other."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.engine.task import StepInfo
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.judges import load_judge
from qaclims_path.models.methods import build_method
from qaclims_path.models.methods.method import UNKNOWN
from qaclims_path.pipeline.cam.plan import PLAN
from qaclims_path.pipeline.cam.task import CamTask
from qaclims_path.pipeline.cam.teacher import Teacher, Words
from qaclims_path.types import PairTexts

NAMES = "tumor", "stroma", "necrosis"
PRESENT = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1]]).bool()
KNOWN = torch.ones_like(PRESENT)
PART = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 1], [0, 0, 0], [1, 0, 1]]).bool()  # what is known where not all is
IDS = [f"i{n}" for n in range(len(PRESENT))]
FOREGROUND = {("i0", 0): [3, 4], ("i2", 1): [5], ("i4", 2): [3, 5, 6]}  # rows of answers; other pairs have none
BACKGROUND = {("i0", 1): [6], ("i1", 1): [4, 7], ("i2", 2): [5, 6, 7]}
SETTINGS = {
    "clims": {"word_threshold": -1.0},
    "qa-clims": {"reference_batch": None},
    "qa-clims-path": {"ramp": [0, 0], "negatives": ["answers", "classes", "words"]},
}


def find(pairs: list[tuple[str, int]]) -> dict[str, Tensor]:
    found = {"label": torch.tensor([label for _, label in pairs])}
    for kind, answers in (("foreground", FOREGROUND), ("background", BACKGROUND)):
        lists = [answers.get(pair, []) for pair in pairs]
        found[kind] = torch.tensor([row for rows in lists for row in rows], dtype=torch.int64)
        found[f"{kind}_owner"] = torch.tensor([p for p, rows in enumerate(lists) for _ in rows], dtype=torch.int64)
    return found


@pytest.fixture
def make_task(judge: Path) -> Callable[..., CamTask]:
    """A task with the same small network each time."""
    found = load_judge(str(judge), device="cpu")
    texts = F.normalize(torch.randn(11, found.card.width, generator=torch.Generator().manual_seed(0)), dim=1)

    def make(name: str, chunk: int = 64) -> CamTask:
        words = Words(find, texts[:8], PairTexts(texts[:8], **find([("", label) for label in range(3)])), texts[8:])
        torch.manual_seed(0)
        network = CamNet("mobilenetv2_035", NAMES).eval()
        return CamTask(network, build_method(name, SETTINGS[name], "a test"), Teacher(found, words, chunk=chunk))

    return make


def run(task: CamTask, multiple: int = 1, known: Tensor = KNOWN) -> tuple[dict[str, Tensor], Tensor]:
    """Return the losses and the gradient of the head."""
    planner = replace(task._teacher.planner(dict), multiple=multiple)
    plan = planner.plan(IDS, PRESENT)
    batch = {"image": images(), "present": PRESENT, "known": known, "id": IDS, PLAN: plan}
    found = task.step(batch, StepInfo(5, 10, 0, task.counts(batch)))
    found["loss"].backward()
    return {name: value.detach() for name, value in found.items()}, task.maps.head.weight.grad


def images() -> Tensor:
    return torch.rand(len(PRESENT), 3, 48, 48, generator=torch.Generator().manual_seed(1))


def softmean(values: Tensor) -> Tensor:
    return (10 * values).exp().mean().log() / 10


def contrasts(own: Tensor, beside: Tensor, others: Tensor, mine: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The formulas of the paper: foreground (own, others) and background (beside, mine); 0 without texts."""
    e, es = (own / temperature).exp(), (others / temperature).exp()
    m, b = (beside / temperature).exp().mean(), (mine / temperature).exp()
    return (
        -torch.log(e / (e + es.sum())) if len(others) else own * 0,
        -torch.log(m / (m + b)) if len(beside) else mine * 0,
    )


def plain_pair(name: str, words: Words, pair: tuple[int, int], f: Tensor, b: Tensor) -> dict[str, Tensor]:
    """Losses of one pair, before their weights and divisors."""
    (image, label), texts = pair, words.features
    answers, around = (texts[lists.get((IDS[image], label), [])] for lists in (FOREGROUND, BACKGROUND))
    if name == "clims":
        otm = -(f @ texts[label]).clamp(1e-4, 1 - 1e-4).log()
        btm = -torch.log1p(-(b @ texts[label]).clamp(1e-4, 1 - 1e-4))
        return {
            "object_text": otm,
            "background_text": btm,
            "background_words": -torch.log1p(-words.background @ f).sum(),
        }
    if name == "qa-clims":
        own = 0.5 * texts[label] + 0.5 * answers.mean(0) if len(answers) else texts[label]
        fg, bg = contrasts(f @ own, around @ b, around @ f, b @ own, 0.7)
        return {"foreground": fg, "background": bg}
    own = torch.cat([texts[label : label + 1], answers])
    others = [other for other in range(3) if other != label]
    present = [other for other in others if PRESENT[image, other]]
    negatives = torch.cat([around @ f, texts[others] @ f, words.background @ f])
    beside = torch.cat([around @ b, texts[present] @ b])
    fg, bg = contrasts(softmean(own @ f), beside, negatives, softmean(own @ b), 0.1)
    return {"foreground": fg, "background": bg}


def plain_run(task: CamTask, name: str, known: Tensor = KNOWN) -> tuple[dict[str, Tensor], Tensor]:
    """The same as `run`, one pair after the other, each in two calls of the judge."""
    teacher, method = task._teacher, task._method
    logits = task.maps(images()).maps
    activations = method.activations(logits, PRESENT | ~known)
    prepared = teacher.judge.prepare(images())
    count, sums = int(PRESENT.sum()), {}
    for image, label in PRESENT.nonzero().tolist():
        one = activations[image, label][None], torch.tensor([image])
        f, b = (teacher.judge.encode_regions(prepared, *one, outside=outside)[0] for outside in (False, True))
        for key, value in plain_pair(name, teacher.words, (image, label), f, b).items():
            sums[key] = sums.get(key, 0) + value
    weights = {key: getattr(method, key) for key in sums}
    scale = {"clims": {"background_words": 16 / len(PRESENT)}, "qa-clims": {"foreground": 1.0, "background": 1.0}}
    found = {key: weights[key] * value * scale.get(name, {}).get(key, 1 / count) for key, value in sums.items()}
    areas, scores = activations.mean((-2, -1)), logits.mean((-2, -1))
    labels, others = ([at for at in product(range(5), range(3)) if bool(known[at]) is side] for side in (True, False))
    if name == "qa-clims-path":
        sides = [scores[at] if PRESENT[at] else -scores[at] for at in labels]
        found["classification"] = -sum(side.sigmoid().log() for side in sides) / len(labels)
        if others:
            halves = [(scores[at].sigmoid().log() + (-scores[at]).sigmoid().log()) / 2 for at in others]
            found["classification"] = found["classification"] - UNKNOWN * sum(halves) / len(others)
        found["floor"] = 0.5 * F.relu(torch.tensor(0.05).log() - (areas[PRESENT] + 1e-6).log()).sum() / count
    else:
        found["area"] = 0.2 * sum(areas[at] for at in labels) / len(labels)
    found["loss"] = sum(found.values())
    found["loss"].backward()
    return {key: value.detach() for key, value in found.items()}, task.maps.head.weight.grad


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize(
    ("chunk", "multiple", "known"), [(64, 1, KNOWN), (3, 1, KNOWN), (64, 8, KNOWN), (6, 4, KNOWN), (3, 1, PART)]
)
def test_a_step_equals_its_slow_twin(
    name: str, chunk: int, multiple: int, known: Tensor, make_task: Callable[..., CamTask]
) -> None:
    found, gradient = run(make_task(name, chunk), multiple, known)
    expected, slow_gradient = plain_run(make_task(name), name, known)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=1e-6, rtol=1e-6, msg=lambda text, key=key: f"{key}: {text}")
    torch.testing.assert_close(gradient, slow_gradient, atol=1e-6, rtol=1e-5)


def test_numbers_per_class_are_means_over_its_pairs(make_task: Callable[..., CamTask]) -> None:
    task = make_task("qa-clims-path")
    found, _ = run(task)
    logits = task.maps(images()).maps
    areas = task._method.activations(logits, PRESENT).mean((-2, -1))
    for label, name in enumerate(NAMES):
        torch.testing.assert_close(found[f"area/{name}"], areas[PRESENT[:, label], label].mean())
        assert -1 <= found[f"background_similarity/{name}"] <= 1
