"""Time scoring against other libraries: the same arrays in the same process, equal results asserted first.

    python scripts/bench/evaluate.py

One thread each. Confusion: 16 label maps of 512 x 512 with five classes, against torchmetrics and a NumPy bincount over
int64 keys. Sweep: 12 images of 375 x 500 with up to three of 20 classes, 55 thresholds, against the published
evaluation, which reloads every file and takes an `argmax` for each threshold.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder is on the path, not the one above

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import multiclass_confusion_matrix

from bench.timing import conditions, exit_with, median_ms
from qaclims_path.compute.boundary import BoundaryIoU
from qaclims_path.compute.confusion import confusion_matrix
from qaclims_path.compute.sweep import Sweep

RUNS = 9
THRESHOLDS = np.arange(5, 60, dtype=np.float32) / 100  # 55 of them
VOC_CLASSES = 20
Labels = NDArray[np.uint8]
Maps = tuple[NDArray[np.float32], list[int], Labels]


def label_maps(rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Make blobs of five classes, and a prediction with 15 % errors."""
    truth = rng.integers(0, 5, (16, 16, 16), dtype=np.uint8).repeat(32, 1).repeat(32, 2)
    wrong = rng.random(truth.shape) < 0.15
    return truth, np.where(wrong, rng.integers(0, 5, truth.shape, dtype=np.uint8), truth)


def bincount_matrix(truth: Labels, prediction: Labels, classes: int) -> NDArray[np.int64]:
    """Count with NumPy: one int64 key for each pixel."""
    keys = truth.ravel().astype(np.int64) * classes + prediction.ravel().astype(np.int64)
    return np.bincount(keys, minlength=classes**2).reshape(classes, classes)


def bench_confusion(rng: np.random.Generator) -> list[tuple[str, float, float]]:
    """Time ours, bincount and torchmetrics on the same label maps."""
    truth, prediction = label_maps(rng)
    tensors = torch.from_numpy(prediction).long(), torch.from_numpy(truth).long()

    def torchmetrics_matrix() -> torch.Tensor:
        return multiclass_confusion_matrix(*tensors, num_classes=5)

    ours = confusion_matrix(truth, prediction, 4)[:, :5]
    assert np.array_equal(ours, bincount_matrix(truth, prediction, 5))
    assert np.array_equal(ours, torchmetrics_matrix().numpy())
    return [
        ("confusion, ours", *median_ms(lambda: confusion_matrix(truth, prediction, 4), RUNS)),
        ("confusion, NumPy bincount, int64", *median_ms(lambda: bincount_matrix(truth, prediction, 5), RUNS)),
        ("confusion, torchmetrics", *median_ms(torchmetrics_matrix, RUNS)),
    ]


def voc_like(rng: np.random.Generator) -> list[Maps]:
    """Make smooth maps of the classes in an image, and a truth that follows them."""
    images = []
    for _ in range(12):
        labels = sorted(rng.choice(VOC_CLASSES, rng.integers(1, 4), replace=False).tolist())
        coarse = torch.from_numpy(rng.random((1, len(labels), 12, 16), np.float32))
        maps = torch.nn.functional.interpolate(coarse, (375, 500), mode="bicubic").clamp(0, 1)[0].numpy()
        truth = np.array([*labels, VOC_CLASSES], np.uint8)[np.argmax([*maps, np.full((375, 500), 0.6)], axis=0)]
        truth[rng.random(truth.shape) < 0.05] = 255
        images.append((maps, labels, truth))
    return images


def sweep_once(images: list[Maps]) -> NDArray[np.int64]:
    """Sweep as we do: one pass over arrays that are loaded once."""
    sweep = Sweep(VOC_CLASSES, THRESHOLDS.tolist())
    for maps, labels, truth in images:
        sweep.add(maps, labels, truth)
    return sweep.matrices()


def sweep_from_files(folder: Path, images: list[Maps]) -> NDArray[np.int64]:
    """Sweep as we do, loading each file once."""
    return sweep_once([(np.load(folder / f"{i}.npy"), labels, truth) for i, (_, labels, truth) in enumerate(images)])


def sweep_by_reloading(folder: Path, images: list[Maps]) -> NDArray[np.int64]:
    """Sweep as published: for every threshold load, pad with the threshold, `argmax`, count."""
    classes = VOC_CLASSES + 1
    matrices = []
    for threshold in THRESHOLDS:
        matrix = np.zeros((classes, classes), np.int64)
        for i, (_, labels, truth) in enumerate(images):
            maps = np.load(folder / f"{i}.npy")
            padded = np.pad(maps, ((1, 0), (0, 0), (0, 0)), constant_values=threshold)
            prediction = np.array([VOC_CLASSES, *labels])[np.argmax(padded, axis=0)]
            kept = truth < 255
            matrix += bincount_matrix(truth[kept], prediction[kept], classes)
        matrices.append(matrix)
    return np.array(matrices)


def bench_sweep(rng: np.random.Generator) -> list[tuple[str, float, float]]:
    """Time one pass against reloading with `argmax`."""
    images = voc_like(rng)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, (maps, _, _) in enumerate(images):
            np.save(folder / f"{i}.npy", maps)
        assert np.array_equal(sweep_from_files(folder, images)[:, :, :-1], sweep_by_reloading(folder, images))
        return [
            (
                "sweep of 55 thresholds, ours, files loaded once",
                *median_ms(lambda: sweep_from_files(folder, images), RUNS),
            ),
            ("sweep, ours, arrays in memory", *median_ms(lambda: sweep_once(images), RUNS)),
            ("sweep, reload and argmax", *median_ms(lambda: sweep_by_reloading(folder, images), runs=3)),
        ]


def bench_boundary(rng: np.random.Generator) -> list[tuple[str, float, float]]:
    """Time Boundary IoU of the same label maps, without a peer."""
    truth, prediction = label_maps(rng)
    boundary = BoundaryIoU(4, 0.02, "score")
    return [("boundary IoU, one 512 x 512 pair, ours", *median_ms(lambda: boundary.add(truth[0], prediction[0]), RUNS))]


def main() -> None:
    """Measure and print a Markdown table."""
    torch.set_num_threads(1)
    print(f"{conditions('numpy', 'numba', 'torch', 'torchmetrics')}; equal results asserted.\n")
    rng = np.random.default_rng(0)
    groups = [bench_confusion(rng), bench_sweep(rng), bench_boundary(rng)]
    print("| what | median ms | spread ms | ours is faster by |\n|---|---|---|---|")
    for group in groups:
        for name, median, spread in group:
            ratio = "" if "ours" in name else f"{median / group[0][1]:.1f}x"
            print(f"| {name} | {median:.2f} | {spread:.2f} | {ratio} |")
    bars = {"bincount": groups[0][1][1] / groups[0][0][1] >= 3, "torchmetrics": groups[0][2][1] / groups[0][0][1] >= 20}
    bars["reload"] = groups[1][2][1] / groups[1][0][1] >= 50
    exit_with([name for name, reached in bars.items() if not reached])


if __name__ == "__main__":
    main()
