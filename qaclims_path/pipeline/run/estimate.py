"""Estimate roughly what a run takes: seconds of each stage, and bytes on disk.

Seconds are counted in operations of the networks for each image, at the speed of this machine. A product of matrices
measures that in a tenth of a second; importing torch would take seconds. Networks work at about the speed of the small
products: on one core, training steps of ResNet-18, ResNet-50 and MobileNetV2 took 0.7, 1.0 and 1.0 times as long as
counted here. Expect a factor of two.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qaclims_path.files.cores import usable_cores
from qaclims_path.pipeline.run.options import RunOptions

SIDE = 224  # pixels of the images that operations are counted for
NETWORKS = {  # GFLOP of one pass of 224 px, million parameters; by the first letters of timm's names
    "resnet18": (3.6, 12),
    "resnet34": (7.3, 22),
    "resnet101_caffe": (72.6, 43),
    "resnet101": (15.6, 45),
    "resnet152": (23.0, 60),
    "mobilenet": (1.8, 4),  # three times its operations: those of thin convolutions are slower
    "efficientnet": (3.0, 6),
    "convnext_tiny": (8.9, 29),
    "convnext": (25.0, 70),
    "vit_small": (9.2, 22),
    "vit": (35.0, 87),
    "wideresnet38": (200.0, 105),
    "test_": (0.05, 0.5),
}
ONLY_STRIDE = "resnet101_caffe", "wideresnet38"  # networks whose operations are those of their only stride, 8
USUAL = (8.2, 25)  # ResNet-50
JUDGES = {"embedded": 0.05, "l-14": 162.0, "large": 162.0}  # GFLOP of an image, by a part of the id
USUAL_JUDGE = 8.8  # ViT-B/32
STRIDES = {8: 4.0, 16: 1.5}  # operations of a dilated network, as a multiple of those at stride 32
LEARNING = 3.0  # operations of a training step, in passes
DECODER = 1.5  # operations of a segmenter, as a multiple of its encoder's
REFINED = {"none": 0.01, "par": 0.05, "crf": 0.3, "irn": 0.1}  # seconds of an image of 224 px, one core
QUESTIONS = {"blip": 3000.0, "chat": 30000.0}  # GFLOP of all answers about an image
HANDLED = {"cpu": 0.015, "gpu": 0.0025}  # seconds of one core for an image of 224 px and a pass, without networks
SMALL = 64  # rows of the matrices that measure the speed
GPU = 40_000.0  # GFLOP per second of networks on a GPU
CHECKPOINTS = 8  # bytes of a training, in bytes of its weights: two checkpoints with the optimiser's state, and results
MAP = 2 / 16  # bytes per pixel and class: fp16 at every fourth pixel
LINE = 2000  # bytes of the answers about an image
WRITTEN = {"masks": 0.6, "predict": 0.05}  # bytes of PNG files per pixel


@dataclass(frozen=True)
class Listed:
    """The images of a split, in numbers.

    Attributes:
        images: Number of images.
        classes: Mean number of classes in an image.
        pixels: Pixels of the first image.
    """

    images: int
    classes: float
    pixels: int

    @property
    def passes(self) -> float:
        """Passes of 224 px that all images take."""
        return self.images * self.pixels / SIDE**2


@dataclass(frozen=True)
class Cost:
    """Seconds and bytes on disk of a stage, roughly."""

    seconds: float
    bytes: int = 0


def costs_of(options: RunOptions, listed: Mapping[str, Listed], classes: int, *, gpu: bool) -> dict[str, Cost]:
    """Estimate the cost of every stage by name, without its split; stages that are not listed cost seconds.

    Args:
        options: Options of the run.
        listed: The splits that are trained on and scored.
        classes: Number of classes of the data.
        gpu: Whether networks run on a GPU.
    """
    speed = GPU if gpu else gflop_per_second()
    each = HANDLED["gpu" if gpu else "cpu"] / usable_cores()

    def seconds(gflop: float, passes: float) -> float:
        """Seconds of networks, and of reading, cutting and writing the images of all passes."""
        return gflop / speed + passes * each

    learnt, maps, cam = listed[options.shared.split], _network(options), options.cam
    work, first = learnt.images, cam.first_train.passes(learnt.images) if cam.init.start == "cam" else 0
    seen = work * (cam.train.passes(work) + first)
    found = {
        "corpus": Cost(seconds(work * _asking(options), work), LINE * work),
        "cam": Cost(seconds(work * _training_of_maps(options, learnt), seen), CHECKPOINTS * _bytes(options)),
        "seg": Cost(
            seconds(work * _training_of_segmenter(options, work), work * options.seg.train.passes(work)),
            CHECKPOINTS * _bytes(options, "seg"),
        ),
    }
    if (boundary := options.boundary) is not None:
        passes = work * boundary.train.passes(work)
        learnt_on = LEARNING * maps * (boundary.size / SIDE) ** 2
        found["boundary"] = Cost(seconds(passes * learnt_on, passes), _bytes(options))
    of_maps = 2 * maps * sum(scale**2 for scale in options.cams.scales)
    scales = sum(scale**2 for scale in options.evaluate.scales) * (1 + options.evaluate.flip)
    refined = REFINED.get(options.masks.refiner, REFINED["crf"]) / usable_cores()
    for split, there in listed.items():
        train = split == options.shared.split
        at, drawn = ("", there.classes) if train else (f"-{split}", classes)
        pixels = there.images * there.pixels
        found[f"cams{at}"] = Cost(seconds(there.passes * of_maps, there.passes), int(drawn * pixels * MAP))
        found[f"masks{at}"] = Cost(there.passes * refined, int(WRITTEN["masks"] * pixels))
        labelled = there.passes * DECODER * _known(options.seg.network.encoder)[0] * scales
        found[f"predict-{split}"] = Cost(seconds(labelled, there.passes), int(WRITTEN["predict"] * pixels))
    return found


def _training_of_maps(options: RunOptions, learnt: Listed) -> float:
    """Return GFLOP for one image."""
    cam, one = options.cam, LEARNING * _network(options) * (options.cam.augment.size / SIDE) ** 2
    judged = 2 * LEARNING * _judge(options) * learnt.classes  # foreground and background of each class
    first = cam.first_train.passes(learnt.images) * one if cam.init.start == "cam" else 0.0
    return first + cam.train.passes(learnt.images) * (one + judged)


def _training_of_segmenter(options: RunOptions, images: int) -> float:
    """Return GFLOP for one image."""
    seg = options.seg
    passes = LEARNING * seg.train.passes(images) * (seg.augment.size / SIDE) ** 2
    return passes * DECODER * _known(seg.network.encoder)[0]


def gflop_per_second(seconds: float = 0.05) -> float:
    """Measure the speed of all cores in GFLOP per second, by products of matrices that are too small for threads."""
    matrix = np.ones((SMALL, SMALL), np.float32)
    start, rounds = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for _ in range(100):
            matrix @ matrix
        rounds += 100
    return usable_cores() * rounds * 2 * SMALL**3 / 1e9 / (time.perf_counter() - start)


def sees_gpu(accelerator: str) -> bool:
    """Return whether a training may run on a GPU, by NVIDIA's device files; torch is not asked."""
    return accelerator != "cpu" and (accelerator == "cuda" or Path("/dev/nvidia0").exists())


def _network(options: RunOptions) -> float:
    network = options.cam.network
    dilated = network.dilated and not network.backbone.startswith(ONLY_STRIDE)
    return _known(network.backbone)[0] * (STRIDES.get(network.stride, 1.0) if dilated else 1.0)


def _known(name: str) -> tuple[float, float]:
    return next((known for start, known in NETWORKS.items() if name.startswith(start)), USUAL)


def _judge(options: RunOptions) -> float:
    """Return GFLOP of the judge for an image; 0 for a method without one."""
    name = options.shared.judge.id
    if name is None or options.cam.losses["method"] == "cam":
        return 0.0
    return next((cost for part, cost in JUDGES.items() if part in name.lower()), USUAL_JUDGE)


def _asking(options: RunOptions) -> float:
    """Return GFLOP of all answers about an image; terms are ranked by the judge."""
    kind = options.corpus.answerer.kind if options.corpus is not None else ""
    return QUESTIONS.get(kind, _judge(options))


def _bytes(options: RunOptions, what: str = "cam") -> int:
    """Return the size of the weights of the maps' network, or of the segmenter."""
    name = options.seg.network.encoder if what == "seg" else options.cam.network.backbone
    return int(4e6 * _known(name)[1])
