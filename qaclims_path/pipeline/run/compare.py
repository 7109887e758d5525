"""Methods side by side: means over seeds, paired differences from a baseline, and published results beside them.

Only like is compared with like: a table holds one data set, split, protocol and gate, and a row one set of options.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from qaclims_path.compute.bootstrap import MANY_IMAGES
from qaclims_path.compute.paired import difference_interval, drawn_scores
from qaclims_path.compute.scores import Counts, Floats
from qaclims_path.data.card_parts import Published
from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.files.numbers import finite
from qaclims_path.files.progress import track
from qaclims_path.pipeline.run.finished import Scored, read_run
from qaclims_path.registry import suggest
from qaclims_path.report.comparison import CompareReport, Difference, Key, Mean, Row, Table, write_comparison

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
        runs: Folders of runs; those that differ in nothing but their seeds make one row.
        against: Row that the others are compared with; the first of each table when None.
        out: A CSV file with all rows of all tables.
        replicates: Of the bootstrap over sources of images and seeds.
        seed: Of the bootstrap.

    Example:
        >>> report = compare([Path("runs/cam-0"), Path("runs/clims-0")], against="cam")  # doctest: +SKIP
        >>> report.tables[0].rows[1].difference.mean  # doctest: +SKIP
        0.031
    """
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
        notes = [*twice, *_elsewhere(key, tuple(rows), others)]
        tables.append(_Comparison(key, rows, replicates, seed).table(against, notes))
    report = CompareReport(tuple(tables))
    if out is not None:
        write_comparison(report, out)
    return report


class _Comparison:
    """One table in the making.

    Args:
        key: What its numbers have in common.
        rows: Scores by label, in order of seeds.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
    """

    def __init__(self, key: Key, rows: Mapping[str, Sequence[Scored]], replicates: int, seed: int) -> None:
        self.key, self.rows, self.replicates, self.seed = key, rows, replicates, seed
        self._drawn: dict[Path, tuple[tuple[str, ...], Floats]] = {}

    def table(self, against: str | None, notes: Sequence[str]) -> Table:
        """All rows, and how they differ from one of them."""
        base = against or next(iter(self.rows))
        said = list(notes)
        if base not in self.rows:
            said.append(f"Nothing is compared here, because '{base}' is not in this table.")
        rows = [self._row(label, base) for label in self.rows]
        sources = max((row.difference.sources for row in rows if row.difference), default=0)
        if sources == 1:
            said.append("There are no intervals: all images are of one source, and a bootstrap draws from several.")
        elif 0 < sources < MANY_IMAGES:
            said.append(f"The intervals are rough: {sources} sources of images are few for a bootstrap.")
        return Table(self.key, tuple(rows), _published(self.key), tuple(said))

    def _row(self, label: str, base: str) -> Row:
        members = self.rows[label]
        compared = None if label == base or base not in self.rows else self._difference(label, base)
        return Row(
            label=label,
            runs=tuple(str(each.run) for each in members),
            seeds=tuple(_in_words(each.seed) for each in members),
            miou=_mean([each.miou for each in members]),
            dice=_mean([each.dice for each in members]),
            difference=compared,
        )

    def _difference(self, label: str, base: str) -> Difference:
        ours, theirs = ({each.seed: each for each in self.rows[name]} for name in (label, base))
        shared = [seed for seed in ours if seed in theirs]
        if not shared:
            mine, other = (", ".join(map(_in_words, each)) for each in (ours, theirs))
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
        apart = mean(one.miou - other.miou for one, other in pairs)
        seeds = tuple(map(_in_words, shared))
        sources = len(next(iter(names)))
        if sources < 2:  # every draw would be the same one
            return Difference(base, finite(apart), seeds=seeds, sources=sources)
        low, high = difference_interval([one for (_, one), _ in drawn], [other for _, (_, other) in drawn], self.seed)
        return Difference(base, finite(apart), finite(low), finite(high), seeds, sources)

    def _draw(self, scored: Scored) -> tuple[tuple[str, ...], Floats]:
        """Names of the sources of images, and mean IoU on drawn ones; counted once."""
        if scored.folder not in self._drawn:
            counts: dict[str, Counts] = scored.counts()
            drawn = drawn_scores(counts.values(), scored.mean_over, self.replicates, self.seed)
            self._drawn[scored.folder] = tuple(counts), drawn
        return self._drawn[scored.folder]


def _rows_of(members: Sequence[Scored]) -> tuple[dict[str, list[Scored]], list[str]]:
    """Scores that differ in nothing but their seed, by label; and what is to be said of the others."""
    variants: dict[tuple[str, str], dict[tuple[int, ...], Scored]] = {}
    notes = []
    for each in members:
        seeds = variants.setdefault((each.method, str(sorted(each.options.items(), key=lambda item: item[0]))), {})
        if each.seed in seeds:
            notes.append(f"{each.run} has the options and seed of {seeds[each.seed].run}, and is left out.")
        seeds.setdefault(each.seed, each)
    groups = [[seeds[seed] for seed in sorted(seeds)] for seeds in variants.values()]
    return dict(zip(_labels([group[0] for group in groups]), groups, strict=True)), notes


def _labels(ones: Sequence[Scored]) -> list[str]:
    """The method, and the options in which it differs from the same method in other rows."""
    labels = []
    for one in ones:
        rivals = [other for other in ones if other.method == one.method]
        keys = dict.fromkeys(key for other in rivals for key in other.options)
        apart = [key for key in keys if len({str(other.options.get(key)) for other in rivals}) > 1]
        said = ", ".join(f"{key}={one.options.get(key)}" for key in apart)
        labels.append(f"{one.method} ({said})" if apart else one.method)
    return labels


def _check_against(against: str | None, known: set[str]) -> None:
    if against is not None and against not in known:
        raise UsageError(f"There is no row '{against}' to compare with. {suggest(against, sorted(known))}")


def _elsewhere(key: Key, rows: Sequence[str], others: Mapping[Key, Sequence[str]]) -> list[str]:
    """Why methods that were scored in another way are not in this table."""
    notes = []
    for other, labels in others.items():
        if (other.dataset, other.what, other.split) != (key.dataset, key.what, key.split):
            continue
        missing = [label for label in labels if label not in rows]
        if missing:
            how = f"under the protocol '{other.protocol}' with gate {other.gate}"
            notes.append(f"{', '.join(missing)}: not in this table, because it was scored {how}.")
    return notes


def _published(key: Key) -> tuple[Published, ...]:
    """What others have published of the same step, under the same protocol, gate and split."""
    try:
        card = load_card(key.dataset)
    except QaclimsError:  # a card of somebody's own, which is not at hand
        return ()
    return card.published_like(key.split, key.protocol, key.gate, key.what)


def _mean(values: Sequence[float]) -> Mean:
    return Mean(finite(mean(values)), finite(stdev(values)) if len(values) > 1 else None)


def _in_words(seed: Sequence[int]) -> str:
    return "/".join(map(str, seed))
