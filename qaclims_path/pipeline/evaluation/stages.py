"""Score maps, masks and predicted labels by the settings in their folder, and write the scores beside them."""

from pathlib import Path

from qaclims_path.data.pseudo import LABELS, SETTINGS
from qaclims_path.data.split import SplitData
from qaclims_path.files.json_files import read_object
from qaclims_path.files.made_with import INDEX
from qaclims_path.files.maps import MapReader
from qaclims_path.pipeline.evaluation.evaluate import score_predictions
from qaclims_path.pipeline.evaluation.options import ScoreOptions
from qaclims_path.pipeline.evaluation.sources import PREDICTED, REMEDY, PredictionFiles, StoredMaps
from qaclims_path.report.evaluation import EvaluationReport

SUPERVISED = "supervised"  # among them: sentence on masks of training images that the segmenter learnt from
CELLS = "Maps are scored from the network's cells on a grid of 16 pixels, as in the released code."
POINTS = (
    "Maps are scored from a value for every 4 pixels; the released code takes the network's cells (cams.grid=cells)."
)
SCORES = "scores"  # folder of the scores beside maps and predictions


def score_cams(folder: Path, split: SplitData) -> EvaluationReport | None:
    """Score the maps in a folder, at every threshold too where the protocol has background; None without true masks."""
    if not split.has_masks:
        return None
    with MapReader(folder) as reader:
        options = ScoreOptions(
            made_with_gate=reader.settings["gate"],
            allow_missing=bool(reader.failed),
            what="cams",
            sweep=split.rules.predict_background,
        )
        note = CELLS if "grid" in reader.settings else POINTS
        return score_predictions(StoredMaps(reader, split), split, options, folder / SCORES, note=note)


def score_masks(folder: Path, split: SplitData) -> EvaluationReport | None:
    """Score the complete masks in a folder; None without true masks, or where no mask was made."""
    index = read_object(folder / INDEX, REMEDY)
    if not split.has_masks or not index["images"]:
        return None
    gate = read_object(folder / SETTINGS, REMEDY)["maps"]["gate"]
    options = ScoreOptions(made_with_gate=gate, allow_missing=bool(index["failed"]), what="masks")
    return score_predictions(PredictionFiles(folder / LABELS, split), split, options, folder)


def score_labels(folder: Path, split: SplitData) -> EvaluationReport | None:
    """Score the labels of a segmenter in a folder; None without true masks, or where no image was labelled."""
    index = read_object(folder / INDEX, REMEDY)
    if not split.has_masks or not index["images"]:
        return None
    note = str(read_object(folder / PREDICTED, REMEDY).get(SUPERVISED, ""))
    options = ScoreOptions(made_with_gate="none", allow_missing=bool(index["failed"]), what="seg")
    return score_predictions(PredictionFiles(folder, split), split, options, folder / SCORES, note=note)
