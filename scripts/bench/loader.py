"""Time the loading of training images: milliseconds of one core per image, before and now.

    python scripts/bench/loader.py [--images 24] [--rounds 5] [--threads 1]

Painted tiles of 224 px (PNG and JPEG) and photographs of 500 x 375 px (JPEG), each augmented as the recipes do. Three
parts are measured as medians of processor time: decoding a file; everything else that a worker does; and the part that
the device does, here on the CPU. `before` is the same augmentation by MONAI's transforms, all of it in the worker.
`again` is the worker's time once the decoded images are kept (`--cache`). Decoders are compared first.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from monai.transforms.compose import Compose
from monai.transforms.croppad.dictionary import RandSpatialCropd, SpatialPadd
from monai.transforms.intensity.dictionary import RandGaussianNoised, RandGaussianSmoothd
from monai.transforms.spatial.dictionary import RandFlipd
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from qaclims_path.data.augmentation import NOISE, Augment, Augmentation, augmentation_for
from qaclims_path.data.dataset import to_tensor
from qaclims_path.data.decoded import Decoded
from qaclims_path.data.transforms import augmentation
from qaclims_path.data.windows import Windows, collate_windows
from qaclims_path.files.images import read_image
from qaclims_path.files.kept import Kept

GREY = (0.485, 0.456, 0.406)
STYLES = {
    "maps, tissue": ("png", augmentation_for(224, tissue=True, zoom=(0.8, 1.25), jitter=0.1)),
    "segmenter, tissue": (
        "png",
        augmentation_for(224, tissue=True, zoom=(0.5, 2.0), jitter=0.15, blur=0.2, noise=0.2),
    ),
    "maps, published": ("photo", Augmentation(512, GREY, long=(320, 640))),
}


class Files:
    """Images of a folder."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def decoded(self, index: int) -> Decoded:
        """Read one image."""
        return Decoded(str(index), read_image(self.paths[index]), torch.ones(4, dtype=torch.bool))


def painted(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Paint structures of several sizes and a little noise, about as hard to compress as stained tissue."""
    random = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128.0)
    for step in (64, 16, 4):
        coarse = torch.from_numpy(random.normal(0, 24, (1, 3, height // step + 2, width // step + 2)))
        fine = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
        picture += fine[0].permute(1, 2, 0).numpy()
    return (picture + random.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8)


def write(folder: Path, count: int) -> dict[str, list[Path]]:
    """Write tiles as PNG and JPEG, and photographs as JPEG."""
    kinds = {"png": (224, 224, "png"), "jpeg": (224, 224, "jpg"), "photo": (375, 500, "jpg")}
    paths: dict[str, list[Path]] = {}
    for kind, (height, width, suffix) in kinds.items():
        paths[kind] = [folder / f"{kind}{number}.{suffix}" for number in range(count)]
        for number, path in enumerate(paths[kind]):
            Image.fromarray(painted(height, width, number)).save(path)
    return paths


def before(options: Augmentation) -> Callable[[NDArray[np.uint8]], torch.Tensor]:
    """The same augmentation by transforms on floats, an image at a time."""
    if options.long:
        crop = Compose(
            [
                RandFlipd("image", prob=0.5, spatial_axis=1),
                SpatialPadd("image", (options.size,) * 2),
                RandSpatialCropd("image", (options.size,) * 2, random_size=False),
            ]
        )

        def published(picture: NDArray[np.uint8]) -> torch.Tensor:
            image = to_tensor(picture)
            factor = np.random.randint(options.long[0], options.long[1] + 1) / max(image.shape[1:])  # type: ignore[index]
            sides = [round(side * factor) for side in image.shape[1:]]
            image = F.interpolate(image[None], sides, mode="bicubic", antialias=True)[0].clamp(0, 1)
            return torch.as_tensor(crop({"image": image})["image"])

        return published
    steps = augmentation(
        options.size, 0, rotate=options.rotate, zoom=options.zoom, jitter=options.jitter, fill=options.fill[0]
    ).transforms
    blur = RandGaussianSmoothd("image", sigma_x=(0.25, 1.0), sigma_y=(0.25, 1.0), prob=options.blur)
    noise = RandGaussianNoised("image", prob=options.noise, std=NOISE)
    changed = Compose([*steps, *([blur, noise] if options.blur else [])])
    return lambda picture: torch.as_tensor(changed({"image": to_tensor(picture)})["image"])


def milliseconds(work: Callable[[], object], images: int, rounds: int) -> float:
    """Median processor time of one image."""
    work()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times) / images


def decoders(paths: dict[str, list[Path]], rounds: int) -> None:
    """Print what decoding takes with each library."""
    print(f"{'decoding, ms per image':28}{'Pillow':>10}{'imagecodecs':>13}{'torchvision':>13}")
    for kind, own in paths.items():
        files = [path.read_bytes() for path in own]
        found = [milliseconds(partial(decode_all, decode, files), len(files), rounds) for decode in codecs(kind)]
        print(f"{kind:28}{found[0]:10.2f}{found[1]:13.2f}{found[2]:13.2f}")


def codecs(kind: str) -> list[Callable[[bytes], object]]:
    """The decoders of Pillow, imagecodecs and torchvision."""
    from torchvision.io import decode_image  # type: ignore[import-untyped]

    def torchvision(file: bytes) -> object:
        return decode_image(torch.frombuffer(bytearray(file), dtype=torch.uint8))

    codec = imagecodecs.png_decode if kind == "png" else imagecodecs.jpeg8_decode
    return [lambda file: np.asarray(Image.open(io.BytesIO(file)).convert("RGB")), codec, torchvision]


def decode_all(decode: Callable[[bytes], object], files: list[bytes]) -> None:
    """Decode every file."""
    for file in files:
        decode(file)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), asked.images)
        decoders(paths, asked.rounds)
        columns = ("decode", "rest", "worker", "before", "again", "device", "total")
        print(f"\n{'one core, ms per image':28}" + "".join(f"{column:>9}" for column in columns))
        for name, (kind, options) in STYLES.items():
            row = measured(Files(paths[kind]), options, Path(folder), asked.rounds)
            print(f"{name:28}" + "".join(f"{row[column]:9.2f}" for column in columns))


def measured(source: Files, options: Augmentation, folder: Path, rounds: int) -> dict[str, float]:
    """Measure one kind of training."""
    count = len(source)
    everyone = range(count)
    old, augment = before(options), Augment(options)
    windows, kept = Windows(source, options), Kept(folder / "kept", count, 10**9)
    again = Windows(source, options, kept)
    kept.hide()
    batch = collate_windows([windows[index] for index in everyone])
    works: dict[str, Callable[[], object]] = {
        "decode": lambda: [source.decoded(index) for index in everyone],
        "worker": lambda: collate_windows([windows[index] for index in everyone]),
        "before": lambda: torch.stack([old(source.decoded(index).pixels) for index in everyone]),
        "again": lambda: collate_windows([again[index] for index in everyone]),
        "device": lambda: augment(batch),
    }
    row = {name: milliseconds(work, count, rounds) for name, work in works.items()}
    return {**row, "rest": row["worker"] - row["decode"], "total": row["worker"] + row["device"]}


if __name__ == "__main__":
    main()
