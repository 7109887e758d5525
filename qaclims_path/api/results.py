"""Results: scores, comparisons, reports, and models for others."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qaclims_path.api.data import Dataset
from qaclims_path.api.options import Where, kind_of, optional, public, read, several
from qaclims_path.errors import UsageError
from qaclims_path.pipeline.evaluation.options import ScoreOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from qaclims_path.pipeline.run.report import ReportMade
    from qaclims_path.pipeline.segmenter.export import ExportReport
    from qaclims_path.report.comparison import CompareReport
    from qaclims_path.report.evaluation import EvaluationReport

Predicted = Where | Mapping[str, "ArrayLike"]


@public(ScoreOptions)
def evaluate(
    pred: Predicted,
    dataset: Dataset,
    root: Where,
    split: str,
    *,
    protocol: str | None = None,
    out: Where | None = None,
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "EvaluationReport":
    """Score predictions against the truth of a split, under a named protocol.

    If any prediction is missing, extra, of the wrong size, wrongly coded or unreadable, all are listed in one error,
    and nothing is scored or written.

    Args:
        pred: Folder of label maps, class scores or maps; or arrays H W of class indices (background: the number of
            classes) by image name, as `dataset[i].id` has it.
        dataset: Name of a card, path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        split: A split with masks.
        protocol: Name of one of the card's protocols; the first when None.
        out: Folder for metrics.json and the tables; nothing is written when None.
        **options: Fields of `ScoreOptions`.

    Examples:
        >>> evaluate("masks", "bcss-wsss", "BCSS-WSSS", "test", protocol="mlps").scores.miou  # doctest: +SKIP
        0.7012
    """
    from qaclims_path.data.split import open_split
    from qaclims_path.pipeline.evaluation.evaluate import score_predictions
    from qaclims_path.pipeline.evaluation.sources import LabelArrays, open_predictions

    chosen = read(ScoreOptions, options, "evaluate")
    if not isinstance(pred, (str, Path, Mapping)):
        raise UsageError(f"evaluate(): pred should be a folder, or arrays by image name, not {kind_of(pred)}.")
    data = open_split(dataset, root, split, protocol)
    source = LabelArrays(pred, data) if isinstance(pred, Mapping) else open_predictions(Path(pred), data)
    return score_predictions(source, data, chosen, optional(out))


@public()
def compare(
    runs: "Where | Iterable[Where]",
    *,
    against: str | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    out: Where | None = None,
) -> "CompareReport":
    """Compare finished runs: means over seeds, and paired differences from a baseline.

    Args:
        runs: Folders of runs; runs that differ only in their seeds make one row.
        against: Row that the others are compared with; the first of each table when None.
        bootstrap: Replicates of the 95 % intervals.
        seed: Seed of the intervals.
        out: Table to write: `.csv` with all numbers, `.tex` (LaTeX) or `.md` (Markdown) as they are shown.

    Examples:
        >>> compare(["runs/cam-0", "runs/clims-0"], out="table.tex").tables[0].rows[1].miou.mean  # doctest: +SKIP
        0.643
    """
    from qaclims_path.pipeline.run.compare import compare as compare_runs

    folders = [Path(run) for run in several(runs)]
    return compare_runs(folders, against=against, out=optional(out), replicates=bootstrap, seed=seed)


@public()
def write_report(run: Where, root: Where | None = None, *, figures: bool = False) -> "ReportMade":
    """Write `report.html` into the folder of a run: scores, curves, pictures, texts, times and options on one page.

    Args:
        run: Folder of a run; it may be half finished.
        root: Folder of the data in the publisher's layout; without it there are no pictures.
        figures: Also draw figures for a paper, as PDF and PNG, into `figures` of the run.

    Examples:
        >>> write_report("run", "BCSS-WSSS").page  # doctest: +SKIP
        'run/report.html'
    """
    from qaclims_path.pipeline.run.report import write_run_report

    return write_run_report(Path(run), optional(root), figures=figures)


@public()
def export(run: Where, out: Where, *, format: Literal["monai", "hub"] = "monai") -> "ExportReport":  # noqa: A002 - as the command has it
    """Write the segmenter of a run with its model card, as a MONAI bundle or for the hub.

    Args:
        run: Folder of a run or of a segmenter.
        out: A new folder.
        format: `monai` or `hub`.

    Examples:
        >>> export("run", "bundle").target  # doctest: +SKIP
        'bundle'
    """
    from qaclims_path.pipeline.segmenter.export import export as write

    return write(Path(run), Path(out), format=format)


@public()
def push(run: Where, repo: str, *, public: bool = False) -> "ExportReport":
    """Upload the segmenter of a run with its model card to the hub.

    Args:
        run: Folder of a run or of a segmenter.
        repo: Repository `owner/name`; made if it is new.
        public: Let everybody see a new repository.

    Examples:
        >>> push("run", "owner/breast-tissue")  # doctest: +SKIP
    """
    from qaclims_path.pipeline.segmenter.export import push as upload

    return upload(Path(run), repo, private=not public)
