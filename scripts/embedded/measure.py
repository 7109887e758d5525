"""Measure the phantom slides: difficulty, learnability, speed and memory.

1. Colour: a gradient boosting classifier gets only the mean RGB of 32 px windows of a single class, trained and tested
on
   different patients. Its balanced accuracy (mean recall over classes) must stay under 0.60.
2. Texture: a small U-Net trained on truth for some CPU minutes, tested on the pixels of other patients. Its balanced
   accuracy must be above 0.90.
   Both are measured twice: over the four tissue classes (tumor, stroma, lymphocyte, necrosis; background is left out),
   and over all five with background, which is easy because of glass.
3. Speed: megapixels per second on one core, painting alone and writing all three files, after compilation.
4. Memory: peak of a process that writes one slide.

Examples:
    python scripts/embedded/measure.py --what colour texture speed
    python scripts/embedded/measure.py --picture docs/phantom.png
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import nn

from qaclims_path.data.formats import FakeItem
from qaclims_path.data.phantoms.layout import BACKGROUND
from qaclims_path.data.phantoms.regions import CLASS_COLORS, CLASS_NAMES
from qaclims_path.data.phantoms.slide import PhantomSlide, PhantomSpec
from qaclims_path.data.phantoms.tiles import phantom_tiles
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.files.atomic import atomic_path

WINDOW = 32
SETS = {"4 tissue classes": 4, "5 with background": 5}
Codes = NDArray[np.integer[Any]]


def tiles(first: int, patients: int, each: int) -> list[FakeItem]:
    """Make tiles of patients with numbers from `first` on."""
    return list(phantom_tiles(7, [f"FK-{first + n:04d}" for n in range(patients)], each))


def balanced(truth: Codes, guess: Codes, classes: int) -> tuple[float, list[float]]:
    """Return the mean recall over the classes, and the recall of each."""
    recalls = [float((guess[truth == code] == code).mean()) for code in range(classes)]
    return float(np.mean(recalls)), recalls


def windows(items: Iterable[FakeItem]) -> tuple[NDArray[np.float64], Codes]:
    """Return mean RGB (N 3) and class (N) of the windows that hold one class."""
    colors, codes = [], []
    for item in items:
        n = item.labels.shape[0] // WINDOW
        cut = item.labels[: n * WINDOW, : n * WINDOW].reshape(n, WINDOW, n, WINDOW)
        pure = cut.min((1, 3)) == cut.max((1, 3))
        mean = item.image[: n * WINDOW, : n * WINDOW].reshape(n, WINDOW, n, WINDOW, 3).mean((1, 3))
        colors.append(mean[pure])
        codes.append(cut.max((1, 3))[pure])
    return np.concatenate(colors), np.concatenate(codes)


def measure_colour() -> None:
    """Measure the accuracy of the mean colour alone."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    colors, codes = windows(tiles(1000, 60, 8))
    other_colors, other_codes = windows(tiles(2000, 30, 8))
    for name, classes in SETS.items():
        model = HistGradientBoostingClassifier(max_iter=150, class_weight="balanced", random_state=0)
        model.fit(colors[codes < classes], codes[codes < classes])
        seen = other_codes < classes
        score, recalls = balanced(other_codes[seen], model.predict(other_colors[seen]), classes)
        report("mean colour of 32 px windows", name, score, recalls, f"{seen.sum()} windows, bar: under 0.60")


def measure_texture(steps: int) -> None:
    """Measure the accuracy of a small U-Net trained on truth."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    train, test = tiles(1000, 90, 6), tiles(2000, 25, 6)
    net = UNet().to(memory_format=torch.channels_last)
    images, labels = batch(train)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.15)
    began = time.perf_counter()
    for step in range(steps):
        pick = torch.randint(len(train), (8,))
        x, y = images[pick], labels[pick]
        if step % 2:
            x, y = x.flip(3), y.flip(2)
        if step % 3:
            x, y = x.transpose(2, 3), y.transpose(1, 2)
        x = x.pow(torch.empty(8, 3, 1, 1).uniform_(0.75, 1.33))  # stronger and weaker stains
        with torch.autocast("cpu", torch.bfloat16):
            out = net(x.contiguous(memory_format=torch.channels_last) - 0.7)
        loss = nn.functional.cross_entropy(out.float(), y, weight=torch.tensor([1.2, 1.2, 1.2, 1.2, 1.0]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"  step {step + 1}: loss {loss.item():.3f}, {time.perf_counter() - began:.0f} s", flush=True)
    net.eval()
    images, labels = batch(test)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out = torch.cat([net(part - 0.7).float() for part in torch.chunk(images, len(test) // 8)])
    for name, classes in SETS.items():
        seen = (labels < classes).numpy()
        guess = out[:, :classes].argmax(1).numpy()
        score, recalls = balanced(labels.numpy()[seen], guess[seen], classes)
        report("small U-Net, pixels", name, score, recalls, f"{len(test)} tiles, bar: above 0.90")


def batch(items: list[FakeItem]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images N 3 H W in 0..1 and labels N H W."""
    images = torch.from_numpy(np.stack([item.image for item in items])).permute(0, 3, 1, 2).float() / 255
    return images, torch.from_numpy(np.stack([item.labels for item in items])).long()


def block(a: int, b: int, stride: int = 1) -> nn.Sequential:
    """Build two convolutions, the first with a stride."""
    layers: list[nn.Module] = []
    for i, o, s in ((a, b, stride), (b, b, 1)):
        layers += [nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """A U-Net of five scales, the finest at half resolution."""

    def __init__(self) -> None:
        super().__init__()
        widths = (24, 32, 48, 64, 64)
        self.down = nn.ModuleList(block(a, b, 2) for a, b in zip((3, *widths), widths, strict=False))
        self.up = nn.ModuleList(block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.last = nn.Conv2d(widths[0], 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images N 3 H W to scores N 5 H W."""
        kept = []
        for down in self.down:
            x = down(x)
            kept.append(x)
        for up, side in zip(self.up, kept[-2::-1], strict=True):
            x = up(torch.cat([nn.functional.interpolate(x, size=side.shape[2:]), side], 1))
        return nn.functional.interpolate(self.last(x), scale_factor=2, mode="bilinear")


def report(what: str, name: str, score: float, recalls: list[float], note: str) -> None:
    """Print one line of results."""
    each = ", ".join(f"{CLASS_NAMES[code]} {recall:.2f}" for code, recall in enumerate(recalls))
    print(f"{what}, {name}: balanced accuracy {score:.3f} ({each}; {note})", flush=True)


def measure_speed(side: int) -> None:
    """Measure megapixels per second after compilation, the median of three."""
    PhantomSlide(PhantomSpec(1, 600, 600)).read(0, 0, 600, 600)
    with tempfile.TemporaryDirectory() as folder:
        write_slide(Path(folder), "warm", PhantomSpec(1, 600, 600))
        painting, writing = [], []
        for seed in range(3):
            spec = PhantomSpec(seed, side, side)
            began = time.process_time()
            PhantomSlide(spec).read(0, 0, side, side)
            painting.append(side * side / 1e6 / (time.process_time() - began))
            began = time.process_time()
            write_slide(Path(folder), "slide", spec)
            writing.append(side * side / 1e6 / (time.process_time() - began))
    print(f"painting RGB and truth: {np.median(painting):.1f} MP/s of processor time, {side} x {side}, bar: 10")
    print(f"writing all three files: {np.median(writing):.1f} MP/s of processor time")


def measure_memory(side: int) -> None:
    """Measure the peak memory of a process that only writes one slide."""
    code = (
        "import sys; from pathlib import Path; from qaclims_path.data.phantoms.slide import PhantomSpec; "
        "from qaclims_path.data.phantoms.write import write_slide; "
        "write_slide(Path(sys.argv[1]), 'slide', PhantomSpec(1, int(sys.argv[2]), int(sys.argv[2])))"
    )
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, folder, str(side)], check=True)
        seconds = time.perf_counter() - began
        sizes = {path.name: f"{path.stat().st_size / 1e6:.1f} MB" for path in sorted(Path(folder).iterdir())}
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"a slide of {side} x {side}: {seconds:.0f} s, peak memory {peak:.0f} MiB, bar: 1024; {sizes}")


def draw(path: Path) -> None:
    """Draw a picture for the README: a slide, its truth, and a detail of every class as the legend."""
    width, height, close = 3200, 2400, 250
    slide = PhantomSlide(PhantomSpec(15, width, height, patient="FK-0004", stain="classic"))
    rgb, truth = slide.read(0, 0, width, height)
    colors = np.array(CLASS_COLORS, np.uint8)
    shown = (width // 8, height // 8)
    canvas = Image.new("RGB", (2 * shown[0] + 30, shown[1] + 200), "white")
    canvas.paste(Image.fromarray(rgb).resize(shown, Image.Resampling.BOX), (10, 10))
    canvas.paste(Image.fromarray(colors[truth]).resize(shown, Image.Resampling.BOX), (20 + shown[0], 10))
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((20 + shown[0], 10, 19 + 2 * shown[0], 9 + shown[1]), outline="grey")
    for code, name in enumerate(CLASS_NAMES):
        left, top = 10 + code * 161, shown[1] + 20
        x, y = purest(truth, rgb, code, close)
        tile = Image.fromarray(rgb[y : y + close, x : x + close])
        canvas.paste(tile.resize((156, 156), Image.Resampling.LANCZOS), (left, top))
        pen.rectangle((left, top + 159, left + 12, top + 171), fill=CLASS_COLORS[code], outline="grey")
        pen.text((left + 18, top + 159), name + (" (fat, glass)" if code == BACKGROUND else ""), fill="black")
    with atomic_path(path) as temporary:
        canvas.quantize(224, dither=Image.Dither.NONE).save(temporary, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def purest(truth: NDArray[np.uint8], rgb: NDArray[np.uint8], code: int, side: int) -> tuple[int, int]:
    """Return left and top of the square with most pixels of a class; for background, without plain glass."""
    from scipy.ndimage import uniform_filter

    step = 10
    wanted = truth[::step, ::step] == code
    if code == BACKGROUND:
        wanted &= rgb[::step, ::step].mean(2) < 225
    n = side // step
    share = uniform_filter(wanted.astype(np.float32), n)[n // 2 : -n, n // 2 : -n]
    y, x = np.unravel_index(share.argmax(), share.shape)
    return int(x) * step, int(y) * step


def main() -> None:
    """Parse the command line and measure."""
    kinds = ["colour", "speed", "memory", "texture"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="*", default=kinds, choices=kinds)
    parser.add_argument("--steps", type=int, default=1200, help="training steps of the U-Net")
    parser.add_argument("--side", type=int, default=4096, help="side of the slide for speed, in pixels")
    parser.add_argument("--big", type=int, default=16384, help="side of the slide for memory, in pixels")
    parser.add_argument("--picture", type=Path, help="draw this picture and measure nothing")
    options = parser.parse_args()
    if options.picture:
        draw(options.picture)
        return
    measures: dict[str, Callable[[], None]] = {
        "colour": measure_colour,
        "speed": lambda: measure_speed(options.side),
        "memory": lambda: measure_memory(options.big),
        "texture": lambda: measure_texture(options.steps),
    }
    for kind in kinds:
        if kind in options.what:
            measures[kind]()


if __name__ == "__main__":
    main()
