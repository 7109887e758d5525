"""Time a training step against the published one: the same models and batch, equal losses asserted first.

    python scripts/bench/train.py [--steps 20] [--batch 16] [--size 448] [--threads 1] [--device cpu]

QA-CLIMS with a ResNet-50 at stride 16, 20 classes, one or two of them in each image (24 pairs at a batch of 16), and a
ViT-B-32 of open_clip as judge; both have random weights, which take the same time. The published step is rewritten
here: all classes of all images are enlarged and thresholded one by one, regions and losses are made in loops over pairs
and texts, and the judge is called twice. Three things are measured, as medians:

- overhead: the complete step over the backbone's forward and backward pass and the judge's forward pass and gradient of
  its input, each alone; the part above 1 is everything else, from the loss to the optimiser;
- region preparation: from maps to the judge's views, and the gradient back to the maps;
- the complete step, with this judge and with a small one.

On a CPU, seconds are processor time, which other programs disturb little; the ratios count.
"""

import argparse
import logging
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.compute.regions import ALPHA, enlarge, region_views
from qaclims_path.engine.task import StepInfo
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.models.judges.notes import Notes
from qaclims_path.models.judges.open_clip import make_towers
from qaclims_path.models.methods import build_method
from qaclims_path.pipeline.cam.plan import PLAN, ROWS, Planner
from qaclims_path.pipeline.cam.task import CamTask
from qaclims_path.pipeline.cam.teacher import Teacher, Words
from qaclims_path.types import PairTexts

CLASSES, TEXTS, FOREGROUND, BACKGROUND = 20, 2000, 6, 8
SMALL: Mapping[str, Any] = {"layers": 2, "width": 128, "head_width": 64, "patch_size": 32, "image_size": 224}
BARS = {"overhead": 1.10, "regions": 30.0}


@dataclass(frozen=True)
class Bench:
    """Models, one batch, and the texts of its pairs."""

    net: CamNet
    judge: FrozenJudge
    image_tower: Callable[[Tensor], Tensor]
    images: Tensor
    present: Tensor
    texts: PairTexts

    @property
    def batch(self) -> dict[str, Any]:
        """The batch, as a loader returns it, with the plan of its pairs."""
        ids = [str(image) for image in range(len(self.images))]
        plan = Planner(dict, self.find, len(self.texts.label)).plan(ids, self.present.cpu())
        labels = {"present": self.present, "known": torch.ones_like(self.present)}
        return {"image": self.images, **labels, "id": ids, PLAN: plan.to(self.images.device)}

    def find(self, _: Sequence[tuple[str, int]]) -> dict[str, Tensor]:
        """Return the rows of the texts of all pairs."""
        return {name: getattr(self.texts, name).cpu() for name in ROWS}


def make(asked: argparse.Namespace, *, small: bool) -> Bench:
    """Build everything from one seed."""
    logging.disable(logging.WARNING)  # open_clip warns that the weights are random
    torch.manual_seed(0)
    net = CamNet("resnet50", [f"class {i}" for i in range(CLASSES)]).to(asked.device).train()
    model = open_clip.create_model("ViT-B-32", **({"vision_cfg": dict(SMALL)} if small else {}))
    towers = make_towers("bench", "random", model, open_clip.get_tokenizer("ViT-B-32"), Notes())
    judge = FrozenJudge(towers, device=asked.device, dtype="fp32", mode="published", published_pixels=True)
    with torch.no_grad():  # maps from 0 to 1, as trained ones
        small_maps = net(torch.rand(4, 3, 64, 64, device=asked.device)).maps
        net.head.weight *= 3 / small_maps.std()
    present = torch.zeros(asked.batch, CLASSES, dtype=torch.bool)
    for image in range(asked.batch):
        present[image, [image % CLASSES, *([(3 * image + 7) % CLASSES] if image % 2 else [])]] = True
    pairs = int(present.sum())
    rows = torch.randint(TEXTS, (pairs, FOREGROUND + BACKGROUND))
    texts = PairTexts(
        features=F.normalize(torch.randn(TEXTS, judge.card.width), dim=-1).to(asked.device),
        label=present.nonzero()[:, 1].to(asked.device),
        foreground=rows[:, :FOREGROUND].flatten().to(asked.device),
        foreground_owner=torch.arange(pairs, device=asked.device).repeat_interleave(FOREGROUND),
        background=rows[:, FOREGROUND:].flatten().to(asked.device),
        background_owner=torch.arange(pairs, device=asked.device).repeat_interleave(BACKGROUND),
    )
    images = torch.rand(asked.batch, 3, asked.size, asked.size)
    return Bench(net, judge, towers.image, images.to(asked.device), present.to(asked.device), texts)


def our_step(bench: Bench) -> Callable[[], Tensor]:
    """Return our step: the call of the engine, and the backward pass."""
    words = Words(bench.find, bench.texts.features, bench.texts)
    method = build_method("qa-clims", {"reference_batch": None}, "bench")
    teacher = Teacher(bench.judge, words, corners=True)
    task, batch = CamTask(bench.net, method, teacher, published_pixels=True), bench.batch
    info = StepInfo(0, 1, 0, task.counts(batch))

    def step() -> Tensor:
        bench.net.zero_grad(set_to_none=True)
        loss = task.step(batch, info)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return step


def published_regions(cams: Tensor, pixels: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Make foregrounds and backgrounds as published: enlarge and threshold every map, then loop over pairs."""
    side = (224, 224)
    large = F.interpolate(cams, side, mode="bilinear", align_corners=True)
    image = F.interpolate(pixels, side, mode="bilinear", align_corners=True)
    masks = []
    for maps in large:
        for one in maps:
            threshold = ALPHA * one.max()
            masks.append(torch.where(one >= threshold, torch.ones_like(one), torch.zeros_like(one)))
    binary = torch.stack(masks).view_as(large)
    foreground, background = [], []
    for i, c in present.nonzero().cpu().tolist():
        foreground.append(large[i, c] * image[i] * binary[i, c])
        background.append((1 - large[i, c]) * image[i] * (1 - binary[i, c]))
    return torch.stack(foreground), torch.stack(background)


def published_step(bench: Bench) -> Callable[[], Tensor]:
    """Return the step of the released code."""
    texts = bench.texts

    def step() -> Tensor:
        bench.net.zero_grad(set_to_none=True)
        cams = torch.sigmoid(bench.net(bench.images).maps)
        regions = published_regions(cams, bench.net.normalise(bench.images), bench.present)
        looks = [bench.image_tower(region) for region in regions]
        foreground, background = (look / look.norm(dim=-1, keepdim=True) for look in looks)
        front = torch.zeros((), device=cams.device)
        back = torch.zeros((), device=cams.device)
        for p in range(len(foreground)):
            answers = [texts.features[int(row)] for row in texts.foreground[FOREGROUND * p : FOREGROUND * (p + 1)]]
            own = 0.5 * texts.features[int(texts.label[p])] + 0.5 * torch.stack(answers).mean(0)
            around = [texts.features[int(row)] for row in texts.background[BACKGROUND * p : BACKGROUND * (p + 1)]]
            f, b = ((region[p] @ own / 0.7).exp() for region in (foreground, background))
            f_around = torch.stack([(foreground[p] @ text / 0.7).exp() for text in around])
            b_around = torch.stack([(background[p] @ text / 0.7).exp() for text in around])
            front = front - torch.log(f / (f + f_around.sum()))
            back = back - torch.log(b_around.mean() / (b_around.mean() + b))
        loss = 10 * front + 8 * back + 0.2 * cams.mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return step


def region_work(bench: Bench) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
    """Return region preparation with its gradient, published and ours."""
    with torch.no_grad():
        cams = torch.sigmoid(bench.net(bench.images).maps)
        pixels = bench.net.normalise(bench.images)
    image, label = bench.present.nonzero(as_tuple=True)

    def ours(maps: Tensor) -> tuple[Tensor, Tensor]:
        prepared = bench.judge.prepare(pixels)
        own = enlarge(maps[image, label], prepared.shape[-1], corners=True)
        front, back = (
            region_views(prepared, own, image, mode="published", outside=outside)[0] for outside in (False, True)
        )
        return front, back

    def work(make_regions: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Callable[[], tuple[Tensor, ...]]:
        def run() -> tuple[Tensor, ...]:
            maps = cams.clone().requires_grad_()
            front, back = make_regions(maps)
            torch.autograd.backward([front, back], [front.detach(), back.detach()])
            assert maps.grad is not None
            return front.detach(), back.detach(), maps.grad

        return run

    return {"published": work(lambda maps: published_regions(maps, pixels, bench.present)), "ours": work(ours)}


def models_alone(bench: Bench) -> Callable[[], None]:
    """Return a call of the two models: backbone forward and backward, judge forward and backward to its input."""
    views = torch.rand(2 * len(bench.texts.label), 3, 224, 224, device=bench.images.device)

    def run() -> None:
        bench.net.zero_grad(set_to_none=True)
        loss = bench.net(bench.images).maps.sum()
        loss.backward()
        for half in views.chunk(2):
            looked = bench.image_tower(half.clone().requires_grad_()).sum()
            looked.backward()  # type: ignore[no-untyped-call]

    return run


def seconds(work: Callable[[], object], device: str) -> float:
    """Return the processor time of a call; on a GPU, its wall time."""
    if device != "cpu":
        torch.accelerator.synchronize()
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    work()
    if device != "cpu":
        torch.accelerator.synchronize()
    return clock() - start


def medians(works: Mapping[str, Callable[[], object]], runs: int, device: str) -> dict[str, float]:
    """Return the median seconds of each; they take turns, after one run each that is not counted."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            times[name].append(seconds(work, device))
    return {name: statistics.median(found) for name, found in times.items()}


def assert_same(names: Sequence[str], pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Assert that values are equal within 1e-4 of the largest."""
    for name, (one, other) in zip(names, pairs, strict=True):
        difference = float((one - other).abs().max() / other.abs().max())
        assert difference < 1e-4, f"{name} differs by {difference}"


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("steps", 20), ("batch", 16), ("size", 448), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{platform.machine()}, torch {torch.__version__}, {asked.device}, {asked.threads} thread(s), load {load};")
    print(f"{asked.batch} images of {asked.size} px, {CLASSES} classes, medians of {asked.steps}.\n")
    print("| what | published | ours | |\n|---|---|---|---|")
    found = {}
    for kind, small in (("ViT-B-32", False), ("small", True)):
        bench = make(asked, small=small)
        if not small:
            works = region_work(bench)
            assert_same(
                ("foreground", "background", "gradient"), list(zip(*(w() for w in works.values()), strict=True))
            )
            times = medians(works, asked.steps, asked.device)
            found["regions"] = row(f"regions of {len(bench.texts.label)} pairs", times)
        steps: dict[str, Callable[[], object]] = {"published": published_step(bench), "ours": our_step(bench)}
        assert_same(["loss"], [tuple(work() for work in steps.values())])  # type: ignore[list-item]
        times = medians({**steps, "models": models_alone(bench)}, asked.steps, asked.device)
        row(f"complete step, {kind} judge", times)
        if not small:
            found["overhead"] = times["ours"] / times["models"]
            print(f"| overhead over the two models alone ({times['models']:.2f} s) | | {found['overhead']:.3f}x | |")
    missed = [f"regions {found['regions']:.0f}x"] if found["regions"] < BARS["regions"] else []
    missed += [f"overhead {found['overhead']:.3f}"] if found["overhead"] > BARS["overhead"] else []
    sys.exit(f"bars not reached: {', '.join(missed)}" if missed else 0)


def row(what: str, times: Mapping[str, float]) -> float:
    """Print one comparison, and return the ratio."""
    ratio = times["published"] / times["ours"]
    print(f"| {what} | {times['published']:.3f} s | {times['ours']:.3f} s | {ratio:.1f}x |", flush=True)
    return ratio


if __name__ == "__main__":
    main()
