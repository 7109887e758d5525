"""Sizes of the demo: about eleven minutes of one fast core, or about three."""

from dataclasses import asdict, dataclass
from pathlib import Path

from qaclims_path.assets import EMBEDDED_WEIGHTS, embedded_model
from qaclims_path.config import settings_of
from qaclims_path.files.made_with import Settings, made_with, refuse_foreign

MARKER, FORMAT = "demo.json", 2
BACKBONE = "test_resnet"  # the image tower of the embedded judge, whose weights all rows start from
DECODER = {"decoder_channels": [64, 48, 32, 24, 16]}
ROWS = ("cam", "cam+", "clims", "qa-clims", "qa-clims-path")
SUPERVISED = "supervised"  # a segmenter trained on true masks
CONTROLS = ("names", "shuffled", SUPERVISED)
TISSUE = 0.7  # share of the tiles of a slide that show tissue


@dataclass(frozen=True)
class Size:
    """Size of a demo.

    Attributes:
        name: Name in the folder's note.
        train_patients: Patients to train on, each with one slide.
        held_out_patients: Patients to score on, each with one slide.
        side: Side of a slide in pixels.
        stride: Distance between tiles in pixels.
        start_epochs: Epochs of the plain maps that the other methods start from.
        cam_epochs: Epochs of the maps of every other method.
        seg_epochs: Epochs of the segmenters.
        tile: Side of a tile in pixels.
        rows: Methods.
    """

    name: str
    train_patients: int
    held_out_patients: int
    side: int
    stride: int
    start_epochs: int
    cam_epochs: int
    seg_epochs: int
    tile: int = 224
    rows: tuple[str, ...] = ROWS

    @property
    def patients(self) -> int:
        """Number of patients."""
        return self.train_patients + self.held_out_patients

    @property
    def pixels(self) -> float:
        """Megapixels of all slides."""
        return self.patients * self.side**2 / 1e6

    @property
    def tiles(self) -> float:
        """Estimated number of training tiles."""
        return TISSUE * self.train_patients * ((self.side - self.tile) // self.stride + 1) ** 2

    def seconds_of(self, row: str) -> float:
        """Estimated seconds of a row on one core."""
        epochs = {"cam": self.start_epochs, SUPERVISED: 0}.get(row, self.cam_epochs)
        return 5 + self.tiles * (0.06 + 0.035 * epochs + 0.04 * self.seg_epochs)


FULL = Size("full", 8, 4, side=2240, stride=448, start_epochs=12, cam_epochs=6, seg_epochs=14)
QUICK = Size("quick", 3, 1, side=1344, stride=224, start_epochs=6, cam_epochs=2, seg_epochs=3)


def settings_for(size: Size, card: Path, seed: int, *, start: Path | None, first: bool) -> list[str]:
    """List the settings that the demo changes in a recipe: data, a smaller network and fewer epochs.

    Args:
        size: Size of the demo.
        card: Card of the tiles.
        seed: Seed of the trainings.
        start: Network of the plain maps, from which all rows and segmenters start; None before it is trained.
        first: Whether the row is the plain maps.
    """
    changed: dict[str, object] = {
        "dataset": str(card),
        "cam.network.backbone": BACKBONE,
        "cam.network.weights": str(embedded_model("judge") / EMBEDDED_WEIGHTS["judge"]),
        "cam.augment.size": size.tile,
        "cam.train.epochs": size.start_epochs if first else size.cam_epochs,
        "seed": seed,
        "seg.augment.size": size.tile,
        "seg.train.epochs": size.seg_epochs,
        "seg.network.settings": DECODER,
        "masks.refiner": "par",
    }
    if start is not None:
        changed |= {"seg.network.encoder": BACKBONE, "seg.network.weights": str(start)}
        changed |= {} if first else {"cam.init.start": str(start)}
    return settings_of(changed)


def mark_folder(out: Path, size: Size, seed: int) -> None:
    """Note the size in the folder; refuse the folder of another demo, or with other files."""
    about = asdict(size)
    del about["rows"]  # rows may be added later
    refuse_foreign(out / MARKER, "`qaclims demo`")
    way_out = f"Choose another --out, or remove {out}."
    made_with(out / MARKER, {"format": FORMAT, "seed": seed, **about}, way_out, describe=_of_another_demo)


def _of_another_demo(before: Settings, now: Settings) -> str:
    if before.get("format") != FORMAT or all(before.get(key) == now[key] for key in ("name", "seed")):
        return "those of another version of the demo"
    return f"{'with' if before.get('name') == QUICK.name else 'without'} --quick, with --seed {before.get('seed')}"
