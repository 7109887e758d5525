"""Result of a comparison of runs, and the file it is written to."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qaclims_path.data.card_parts import Published
from qaclims_path.files.tables import write_csv

COLUMNS = ["dataset", "what", "split", "protocol", "gate", "method", "source", "seeds", "miou", "miou_std", "dice"]
COLUMNS += ["dice_std", "against", "difference", "low", "high", "sources", "note"]


@dataclass(frozen=True)
class Key:
    """Conditions that have to be equal for numbers to be comparable; `what` is `cams`, `masks` or `seg`."""

    dataset: str
    what: str
    split: str
    protocol: str
    gate: str


@dataclass(frozen=True)
class Mean:
    """Mean over seeds as a share of 1, None without a score; `std` divides by n - 1 and is None for one seed."""

    mean: float | None
    std: float | None


@dataclass(frozen=True)
class Difference:
    """Mean IoU of a row minus the mean IoU of another row, over the seeds that both share.

    Attributes:
        against: Label of the other row.
        mean: Difference as a share of 1; None where it cannot be computed.
        low: Lower end of its 95 % interval; None where images are of one source only.
        high: Upper end of its 95 % interval.
        seeds: Seeds that both rows share.
        sources: Number of patients, or of images where patients are not known.
        why_not: Reason for a missing difference.
    """

    against: str
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: tuple[str, ...] = ()
    sources: int = 0
    why_not: str = ""


@dataclass(frozen=True)
class Row:
    """One method with one set of options, over all its seeds; `difference` is None for the baseline itself."""

    label: str
    runs: tuple[str, ...]
    seeds: tuple[str, ...]
    miou: Mean
    dice: Mean
    difference: Difference | None


@dataclass(frozen=True)
class Table:
    """Rows that are comparable.

    Attributes:
        rows: Our runs, in the order in which they were given.
        published: Published results under the same protocol, gate and split; in percent, as printed.
        notes: Sentences to show beside the numbers.
    """

    key: Key
    rows: tuple[Row, ...]
    published: tuple[Published, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class CompareReport:
    """Comparison of runs: one table for each set of conditions."""

    tables: tuple[Table, ...]

    def as_json(self) -> list[dict[str, Any]]:
        """Convert to values that JSON can hold."""
        return [
            {
                **asdict(table.key),
                "rows": [asdict(row) for row in table.rows],
                "published": [row.model_dump(mode="json") for row in table.published],
                "notes": list(table.notes),
            }
            for table in self.tables
        ]


def write_rows(report: CompareReport, out: Path) -> None:
    """Write all rows of all tables, ours and published ones, as CSV; scores are shares of 1."""
    write_csv(out, _rows(report), COLUMNS)


def _rows(report: CompareReport) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for table in report.tables:
        key, notes = asdict(table.key), " ".join(table.notes)
        for row in table.rows:
            difference = row.difference or Difference("")
            rows.append(
                {
                    **key,
                    "method": row.label,
                    "source": "runs: " + " ".join(row.runs),
                    "seeds": " ".join(row.seeds),
                    "miou": row.miou.mean,
                    "miou_std": row.miou.std,
                    "dice": row.dice.mean,
                    "dice_std": row.dice.std,
                    "against": difference.against,
                    "difference": difference.mean,
                    "low": difference.low,
                    "high": difference.high,
                    "sources": difference.sources or None,
                    "note": " ".join(filter(None, (difference.why_not, notes))),
                }
            )
        rows += [{**key, **_published_row(row)} for row in table.published]
    return rows


def _published_row(row: Published) -> dict[str, Any]:
    shares = {"miou": row.miou, "miou_std": row.miou_std, "dice": row.dice}
    return {
        "method": row.method,
        "source": f"published: {row.source}",
        "note": row.note,
        **{name: None if value is None else value / 100 for name, value in shares.items()},
    }
