"""Train the embedded judge with `qaclims judge train` on phantom tiles and captions, and store it in half precision."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import write_split
from qaclims_path.data.phantoms.splits import EMBEDDED, HELD_OUT, TRAINING
from qaclims_path.engine.settings import RunSettings
from qaclims_path.files.atomic import atomic_path, write_json
from qaclims_path.files.progress import track
from qaclims_path.models.judges import load_judge
from qaclims_path.models.judges.notes import FILE as NOTES
from qaclims_path.pipeline.judge.options import JudgeProbeOptions, JudgeTrainOptions
from qaclims_path.pipeline.judge.probe import Trial, probe_judge
from qaclims_path.pipeline.judge.train import train_judge

WEIGHTS = "open_clip_model.safetensors"
SHIPPED = (WEIGHTS, "open_clip_config.json", "tokenizer.json", "tokenizer_config.json")
MPP = 1.0  # um per pixel of its input: tiles of 224 px of 0.5 um, resized to 112 px


@dataclass(frozen=True)
class Amount:
    """Amount of data: training patients, tiles of each, epochs, and patients of the held-out set."""

    patients: int = 200
    each: int = 12
    epochs: int = 10
    examined: int = 40


def write_tiles(card: Card, root: Path, amount: Amount) -> None:
    """Write training tiles and held-out tiles, in the layout of `datasets fake phantom`."""
    for name, split, patients in (("train", TRAINING, amount.patients), ("val", HELD_OUT, amount.examined)):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        tiles = track(split.tiles(patients, amount.each), f"painting {name}", total=patients * amount.each)
        write_split(card, root, name, tiles)


def make_judge(work: Path, out: Path, amount: Amount) -> dict[str, Any]:
    """Train the judge, copy it to `out`, measure the copy, and return its card.

    Args:
        work: Folder for tiles and checkpoints; existing ones are used again.
        out: Folder of the judge.
        amount: Amount of data.
    """
    card, root, trained = load_card("phantom"), work / "tiles", work / "judge"
    if not root.is_dir():
        with atomic_path(root) as temporary:
            write_tiles(card, temporary, amount)
    options = JudgeTrainOptions(epochs=amount.epochs, batch=16)
    running = RunSettings(devices=1, precision="bf16", workers=0, loggers=("csv",))
    report = train_judge(card, root, trained, options=options, running=running)
    ship(trained, out)
    notes: dict[str, Any] = {
        "mpp": MPP,
        "trained_on": (
            f"{report.images} tiles of {amount.patients} phantom slides (stains {', '.join(TRAINING.stains)}): their "
            f"image-level labels and captions from card and lexicon, no mask; {report.epochs} epochs."
        ),
        "warning": EMBEDDED,
        "demonstration": card.demonstration,
    }
    write_json(out / NOTES, notes)
    scores = examine(card, root, out)
    notes |= {"held_out": scores, "parameters": report.parameters}
    write_json(out / NOTES, notes)
    return notes


def ship(trained: Path, out: Path) -> None:
    """Copy a judge with weights in half precision; loading converts them back to single precision."""
    weights = {
        key: value.half() if value.is_floating_point() else value for key, value in load_file(trained / WEIGHTS).items()
    }
    with atomic_path(out / WEIGHTS) as temporary:
        save_file(weights, temporary)
        temporary.chmod(0o644)  # safetensors writes files that only their owner can read, and a wheel keeps the mode
    for name in SHIPPED[1:]:
        with atomic_path(out / name) as temporary:
            temporary.write_bytes((trained / name).read_bytes())


def examine(card: Card, root: Path, folder: Path) -> dict[str, Any]:
    """Run `qaclims judge probe` on the held-out slides, for the fillings that trainings use."""
    scores: dict[str, Any] = {"slides": f"stains {', '.join(HELD_OUT.stains)}"}
    for fill in ("zero", "white"):
        report = probe_judge(
            load_judge(f"local-dir:{folder}", device="cpu", fill=fill), card, root, JudgeProbeOptions(split="val")
        )
        scores["whole"] = _scores(report.images)
        if report.regions is not None:
            scores[f"regions, {fill}"] = _scores(report.regions)
    return scores


def _scores(trial: Trial) -> dict[str, Any]:
    auc = [None if value is None else round(value, 4) for value in trial.auc]
    right = [f"{row[c]}/{sum(row)}" for c, row in enumerate(trial.confusion)]
    accuracy = None if trial.balanced_accuracy is None else round(trial.balanced_accuracy, 4)
    return {"count": trial.count, "named": trial.named, "balanced_accuracy": accuracy, "right": right, "auc": auc}
