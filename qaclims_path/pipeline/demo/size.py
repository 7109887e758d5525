"""How much the demo does: all of it in a quarter of an hour of one processor, or the same in little."""

from dataclasses import asdict, dataclass
from pathlib import Path

from qaclims_path.assets import EMBEDDED_WEIGHTS, embedded_model
from qaclims_path.config import settings_of
from qaclims_path.files.made_with import Settings, made_with, refuse_foreign

MARKER, FORMAT = "demo.json", 1
BACKBONE = "test_resnet"  # that of the embedded judge, whose weights all rows begin with
DECODER = {"decoder_channels": [64, 48, 32, 24, 16]}
ROWS = ("cam", "cam+", "clims", "qa-clims", "qa-clims-path")
SUPERVISED = "supervised"  # a segmenter that has the true masks
CONTROLS = ("names", "shuffled", SUPERVISED)
TISSUE = 0.7  # share of the tiles of a slide that are not glass


@dataclass(frozen=True)
class Size:
    """How much.

    Attributes:
        name: As it is noted in the folder.
        taught: Patients, and slides, to learn from.
        held_out: Patients, and slides, to be scored on.
        side: Of a slide in pixels.
        stride: From one tile to the next, in pixels.
        start: Epochs of the maps that the other methods begin with.
        maps: Epochs of every other method.
        seg: Epochs of the segmenters.
        tile: Side of a tile in pixels.
        rows: Methods.
    """

    name: str
    taught: int
    held_out: int
    side: int
    stride: int
    start: int
    maps: int
    seg: int
    tile: int = 224
    rows: tuple[str, ...] = ROWS

    @property
    def pixels(self) -> float:
        """Megapixels of all slides."""
        return (self.taught + self.held_out) * self.side**2 / 1e6

    @property
    def tiles(self) -> float:
        """About how many are learnt from."""
        return TISSUE * self.taught * ((self.side - self.tile) // self.stride + 1) ** 2

    def seconds_of(self, row: str) -> float:
        """About how long a row takes one processor, to foretell what is left."""
        taught = {"cam": self.start, SUPERVISED: 0}.get(row, self.maps)
        return 5 + self.tiles * (0.06 + 0.035 * taught + 0.04 * self.seg)


FULL = Size("full", taught=8, held_out=4, side=2240, stride=448, start=12, maps=6, seg=14)
QUICK = Size("quick", taught=3, held_out=1, side=1344, stride=224, start=6, maps=2, seg=3)


def settings_for(size: Size, card: Path, seed: int, *, start: Path | None, first: bool) -> list[str]:
    """What the demo changes in the recipes of the phantom: data, a smaller network, and how long it is trained.

    Args:
        size: How much.
        card: Of the tiles.
        seed: Of the training.
        start: The plain maps that all rows begin with, and all segmenters; None where these are still to be trained.
        first: Whether these are the very maps of the row.
    """
    changed: dict[str, object] = {
        "dataset": str(card),
        "cam.network.backbone": BACKBONE,
        "cam.network.weights": str(embedded_model("judge") / EMBEDDED_WEIGHTS["judge"]),
        "cam.augment.size": size.tile,
        "cam.train.epochs": size.start if first else size.maps,
        "seed": seed,
        "seg.augment.size": size.tile,
        "seg.train.epochs": size.seg,
        "seg.network.settings": DECODER,
        "masks.refiner": "par",
    }
    if start is not None:
        changed |= {"seg.network.encoder": BACKBONE, "seg.network.weights": str(start)}
        changed |= {} if first else {"cam.init.start": str(start)}
    return settings_of(changed)


def mark_folder(out: Path, size: Size, seed: int) -> None:
    """Note how the folder is made; refuse one of another demo, or of other files."""
    about = asdict(size)
    del about["rows"]  # more of them may be added later
    refuse_foreign(out / MARKER, "`qaclims demo`")
    way_out = f"Choose another --out, or remove {out}."
    made_with(out / MARKER, {"format": FORMAT, "seed": seed, **about}, way_out, describe=_of_another_demo)


def _of_another_demo(before: Settings, now: Settings) -> str:
    if before.get("format") != FORMAT or all(before.get(key) == now[key] for key in ("name", "seed")):
        return "those of another version of the demo"
    return f"{'with' if before.get('name') == QUICK.name else 'without'} --quick, with --seed {before.get('seed')}"
