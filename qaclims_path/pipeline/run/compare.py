"""Compare methods: means over seeds, paired differences from a baseline, and published results.

A table holds one data set, split, protocol and gate; a row holds runs with the same options.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from qaclims_path.compute.bootstrap import about_intervals
from qaclims_path.compute.paired import difference_interval, drawn_scores
from qaclims_path.compute.scores import Counts, Floats
from qaclims_path.data.card_parts import Published
from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.numbers import finite
from qaclims_path.files.progress import track
from qaclims_path.pipeline.run.finished import Scored, read_run
from qaclims_path.registry import suggest
from qaclims_path.report.comparison import CompareReport, Difference, Key, Mean, Row, Table
from qaclims_path.report.comparison_text import check_table, write_table

ORDER = ("cams", "masks", "seg")


def compare(
    runs: Sequence[Path],
    *,
    against: str | None = None,
    out: Path | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> CompareReport:
    """Compare finished runs.

    Args:
        runs: Folders of runs; runs that differ only in their seeds make one row.
        against: Row that the others are compared with; the first of each table when None.
        out: Table to write: `.csv` with all numbers, `.tex` (LaTeX) or `.md` (Markdown) as they are shown.
        replicates: Number of bootstrap draws of sources of images and seeds.
        seed: Seed of the bootstrap.

    Examples:
        >>> report = compare([Path("runs/cam-0"), Path("runs/clims-0")], against="cam")  # doctest: +SKIP
        >>> report.tables[0].rows[1].difference.mean  # doctest: +SKIP
        0.031
    """
    if out is not None:
        check_table(out)
    alike: dict[Key, list[Scored]] = {}
    for run in {path.resolve(): path for path in runs}.values():
        for scored in read_run(run):
            alike.setdefault(scored.key, []).append(scored)
    if not alike:
        raise UsageError("Nothing was scored in these runs.")
    keys = sorted(alike, key=lambda key: (key.dataset, ORDER.index(key.what), key.split, key.protocol, key.gate))
    labelled = {key: _rows_of(alike[key]) for key in keys}
    _check_against(against, {label for rows, _ in labelled.values() for label in rows})
    tables = []
    for key in track(keys, "comparing", len(keys)):
        rows, twice = labelled[key]
        others = {other: tuple(labelled[other][0]) for other in keys if other != key}
        notes = [*twice, *_supervised(rows), *_elsewhere(key, tuple(rows), others)]
        tables.append(_Comparison(key, rows, replicates, seed).table(against, notes))
    report = CompareReport(tuple(tables))
    if out is not None:
        write_table(report, out)
    return report


class _Comparison:
    """Builds one table.

    Args:
        key: Data set, result, split, protocol and gate of the table.
        rows: Scores by label, in order of seeds.
        replicates: Number of bootstrap draws.
        seed: Seed of the bootstrap.
    """

    def __init__(self, key: Key, rows: Mapping[str, Sequence[Scored]], replicates: int, seed: int) -> None:
        self.key, self.rows, self.replicates, self.seed = key, rows, replicates, seed
        self._drawn: dict[Path, tuple[tuple[str, ...], Floats]] = {}
        self._sources: tuple[str, ...] = ()  # of the rows that were compared

    def table(self, against: str | None, notes: Sequence[str]) -> Table:
        """Build all rows with their difference from one of them."""
        base = against or next(iter(self.rows))
        remarks = list(notes)
        if base not in self.rows:
            remarks.append(f"Nothing is compared here, because '{base}' is not in this table.")
        rows = [self._row(label, base) for label in self.rows]
        if self._sources and (about := about_intervals(self._sources)):
            remarks.append(about)
        return Table(self.key, tuple(rows), _published(self.key), tuple(remarks))

    def _row(self, label: str, base: str) -> Row:
        members = self.rows[label]
        difference = None if label == base or base not in self.rows else self._difference(label, base)
        return Row(
            label=label,
            runs=tuple(str(each.run) for each in members),
            seeds=tuple(_seed_text(each.seed) for each in members),
            miou=_mean([each.miou for each in members]),
            dice=_mean([each.dice for each in members]),
            difference=difference,
        )

    def _difference(self, label: str, base: str) -> Difference:
        ours, theirs = ({each.seed: each for each in self.rows[name]} for name in (label, base))
        shared = [seed for seed in ours if seed in theirs]
        if not shared:
            mine, other = (", ".join(map(_seed_text, each)) for each in (ours, theirs))
            return Difference(base, why_not=f"no seed in common ({mine} against {other})")
        pairs = [(ours[seed], theirs[seed]) for seed in shared]
        try:
            drawn = [(self._draw(one), self._draw(other)) for one, other in pairs]
        except BadFile as error:
            return Difference(base, why_not=str(error))
        names = {sources for pair in drawn for sources, _ in pair}
        if len(names) > 1:
            counts = " against ".join(str(len(sources)) for sources, _ in drawn[0])
            return Difference(base, why_not=f"other images were scored ({counts} sources)")
        difference = mean(one.miou - other.miou for one, other in pairs)
        seeds = tuple(map(_seed_text, shared))
        self._sources = next(iter(names))
        sources = len(self._sources)
        if sources < 2:  # every draw would be the same
            return Difference(base, finite(difference), seeds=seeds, sources=sources)
        low, high = difference_interval([one for (_, one), _ in drawn], [other for _, (_, other) in drawn], self.seed)
        return Difference(base, finite(difference), finite(low), finite(high), seeds, sources)

    def _draw(self, scored: Scored) -> tuple[tuple[str, ...], Floats]:
        """Name the sources of images, and draw mean IoUs from them; computed once per result."""
        if scored.folder not in self._drawn:
            counts: dict[str, Counts] = scored.counts()
            drawn = drawn_scores(counts.values(), scored.mean_over, self.replicates, self.seed)
            self._drawn[scored.folder] = tuple(counts), drawn
        return self._drawn[scored.folder]


def _rows_of(members: Sequence[Scored]) -> tuple[dict[str, list[Scored]], list[str]]:
    """Group scores that differ only in their seed, by label; also return notes on repeated ones."""
    variants: dict[tuple[str, str], dict[tuple[int, ...], Scored]] = {}
    notes = []
    for each in members:
        seeds = variants.setdefault((each.method, str(sorted(each.options.items(), key=lambda item: item[0]))), {})
        if each.seed in seeds:
            notes.append(f"{each.run} is left out, because {seeds[each.seed].run} has the same options and seed.")
        seeds.setdefault(each.seed, each)
    groups = [[seeds[seed] for seed in sorted(seeds)] for seeds in variants.values()]
    return dict(zip(_labels([group[0] for group in groups]), groups, strict=True)), notes


def _labels(members: Sequence[Scored]) -> list[str]:
    """Label each row by its method, and by the options in which rows of that method differ."""
    labels = []
    for one in members:
        rivals = [other for other in members if other.method == one.method]
        keys = dict.fromkeys(key for other in rivals for key in other.options)
        differing = [key for key in keys if len({str(other.options.get(key)) for other in rivals}) > 1]
        values = ", ".join(f"{key}={one.options.get(key)}" for key in differing)
        labels.append(f"{one.method} ({values})" if differing else one.method)
    return labels


def _check_against(against: str | None, known: set[str]) -> None:
    if against is not None and against not in known:
        raise UsageError(f"There is no row '{against}' to compare with. {suggest(against, sorted(known))}")


def _supervised(rows: Mapping[str, Sequence[Scored]]) -> list[str]:
    """Say which rows learnt from masks of training images."""
    return [f"{label}: {each[0].supervised}" for label, each in rows.items() if each[0].supervised]


def _elsewhere(key: Key, rows: Sequence[str], others: Mapping[Key, Sequence[str]]) -> list[str]:
    """Say which methods are missing here because they were scored under another protocol or gate."""
    notes = []
    for other, labels in others.items():
        if (other.dataset, other.what, other.split) != (key.dataset, key.what, key.split):
            continue
        missing = [label for label in labels if label not in rows]
        if missing:
            rules = f"under the protocol '{other.protocol}' with gate {other.gate}"
            notes.append(f"{', '.join(missing)}: not in this table, because it was scored {rules}.")
    return notes


def _published(key: Key) -> tuple[Published, ...]:
    """Published results under the same protocol, gate and split."""
    try:
        card = load_card(key.dataset)
    except QaclimsError:  # a card that is not on this machine
        return ()
    return card.published_like(key.split, key.protocol, key.gate, key.what)


def _mean(values: Sequence[float]) -> Mean:
    return Mean(finite(mean(values)), finite(stdev(values)) if len(values) > 1 else None)


def _seed_text(seed: Sequence[int]) -> str:
    return "/".join(map(str, seed))
