"""Read finished runs for a comparison: scores, method, options and counts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qaclims_path.compute.bootstrap import source_of
from qaclims_path.compute.scores import Counts, iou_of, mean_of
from qaclims_path.config import Tree, flat
from qaclims_path.errors import BadFile, UsageError
from qaclims_path.files.hub import LOCAL
from qaclims_path.files.tables import read_csv
from qaclims_path.pipeline.configs import CONFIG, read_run_config
from qaclims_path.pipeline.evaluation.options import COUNTS, PER_IMAGE
from qaclims_path.pipeline.run.options import PREDICTING
from qaclims_path.pipeline.run.stages import read_records
from qaclims_path.pipeline.run.steps import METRICS, SCORED_BY, SCORES, read_metrics
from qaclims_path.report.comparison import Key

BESIDE = {"cams": ("masks", "seg"), "masks": ("seg",), "seg": ()}  # sections that do not affect a result
EXACT = 1e-9
SUPERVISED = "Supervised by"  # beginning of the sentence of a card on masks of training images


@dataclass(frozen=True)
class Scored:
    """One entry of the scores of a run.

    Attributes:
        key: Data set, result, split, protocol and gate.
        run: Folder of the run.
        method: Name of the method in the recipe.
        options: Options that decided the result, except seeds, as dotted keys.
        seed: Seed of the training of maps, and that of the segmenter if it differs.
        folder: Folder of the tables.
        classes: Scored classes.
        mean_over: Indices of the classes in the mean.
        miou: Mean IoU in 0..1, NaN if nothing was scored.
        dice: Mean Dice, in the same form.
        supervised: Sentence on true masks of training images; empty for rows that saw none.
    """

    key: Key
    run: Path
    method: str
    options: Mapping[str, Any]
    seed: tuple[int, ...]
    folder: Path
    classes: tuple[str, ...]
    mean_over: tuple[int, ...]
    miou: float
    dice: float
    supervised: str = ""

    def counts(self) -> dict[str, Counts]:
        """Read the counts of every source of images (N 3): right, in the truth, predicted pixels of N classes.

        Sources are named by `compute.bootstrap.source_of`.

        Raises:
            BadFile: The tables are missing, or do not give the score.
        """
        rows = self._table(PER_IMAGE, ("image", "patient"))
        sources = {row["image"]: source_of(row["image"], row["patient"]) for row in rows}
        found: dict[str, Counts] = {
            name: np.zeros((len(self.classes), 3), np.int64) for name in sorted({*sources.values()})
        }
        indices = {name: index for index, name in enumerate(self.classes)}
        numbers = ("right", "truth", "predicted")
        try:
            for row in self._table(COUNTS, ("image", "class", *numbers)):
                found[sources[row["image"]]][indices[row["class"]]] += [int(row[name]) for name in numbers]
        except (KeyError, ValueError) as error:
            raise BadFile(f"{self.folder / COUNTS} does not fit {PER_IMAGE}: {error}. {self._way_out}") from error
        miou = float(mean_of(iou_of(sum(found.values(), np.zeros((len(self.classes), 3), np.int64))), self.mean_over))
        if not (abs(miou - self.miou) < EXACT or (np.isnan(miou) and np.isnan(self.miou))):
            raise BadFile(
                f"The tables in {self.folder} do not give the scores of {self.run / METRICS}. {self._way_out}"
            )
        return found

    def _table(self, name: str, columns: Sequence[str]) -> Iterator[dict[str, str]]:
        if not (self.folder / name).is_file():
            raise BadFile(f"{self.folder} holds no {name}. {self._way_out}")
        return read_csv(self.folder / name, columns)

    @property
    def _way_out(self) -> str:
        return f"Score it again: `qaclims run` with --from {SCORED_BY[self.key.what]}."


def read_run(run: Path) -> list[Scored]:
    """Read all scores of a finished run."""
    for name in (CONFIG, METRICS):
        if not (run / name).is_file():
            raise UsageError(f"{run} holds no {name}. Give the folder of a run that `qaclims run` has finished.")
    records = read_records(run)
    if records and (records.get("evaluate") is None or records["evaluate"].state != "done"):
        raise UsageError(f"{run} is not finished, so its scores are of earlier options. Run `qaclims run` on it first.")
    config = read_run_config(run / CONFIG)
    return [_scored(run, entry, config) for entry in read_metrics(run / METRICS)]


def _scored(run: Path, entry: Mapping[str, Any], config: Tree) -> Scored:
    try:
        key = Key(*(entry[name] for name in ("dataset", "what", "split", "protocol", "gate")))
        classes = tuple(entry["per_class"])
        miou, dice = (
            np.nan if entry["scores"][name] is None else entry["scores"][name] for name in ("miou", "mean_dice")
        )
        return Scored(
            key=key,
            run=run,
            method=_method(config),
            options=_options(config, key.what),
            seed=_seed(config, key.what),
            folder=run / SCORES[key.what].format(key.split),
            classes=classes,
            mean_over=tuple(classes.index(name) for name in entry["mean_over"]),
            miou=float(miou),
            dice=float(dice),
            supervised=next((note for note in entry.get("notes", ()) if note.startswith(SUPERVISED)), ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(f"{run / METRICS} is not in the format of this version: {error!r}. Evaluate again.") from error


def _method(config: Tree) -> str:
    """Name of the method in the recipe; for a segmenter trained on true masks, the method of `seg`."""
    seg = config.get("seg") or {}
    return str(seg["method"] if seg.get("truth") else config.get("method", "cam"))


def _options(config: Tree, what: str) -> Tree:
    """Return options that decided a result, without seeds, folders and sections of later stages."""
    tree = {key: value for key, value in config.items() if key not in BESIDE[what]}
    if what == "seg" and config.get("seg", {}).get("truth"):
        tree = {"method": config.get("method"), "seg": config["seg"]}
    evaluate = tree.pop("evaluate", None) or {}
    if what == "seg":
        tree["evaluate"] = {name: evaluate.get(name) for name in PREDICTING}
    kept = {
        key: value for key, value in flat(tree).items() if key.rpartition(".")[2] not in ("seed", "dataset", "config")
    }
    return {key: _without_folder(value) for key, value in kept.items()}


def _without_folder(value: Any) -> Any:  # noqa: ANN401 - any option
    """Keep the name of a model only, so that runs of two machines can be compared."""
    if isinstance(value, str) and (value.startswith(LOCAL) or Path(value).is_absolute()):
        return Path(value.removeprefix(LOCAL)).name
    return value


def _seed(config: Tree, what: str) -> tuple[int, ...]:
    options = {"seed": 0, **flat(config)}
    keys = ("cam.train.seed", "seg.train.seed") if what == "seg" else ("cam.train.seed",)
    return tuple(dict.fromkeys(int(options[key if key in options else "seed"]) for key in keys))
