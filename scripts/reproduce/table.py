"""Write the tables: one line for every run, and one for every row with intervals over source images and seeds."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.bootstrap import source_weights
from qaclims_path.compute.scores import iou_of, mean_of
from qaclims_path.files.atomic import write_text
from reproduce.plan import ABLATED, ABLATION, BASE, CONTROLS, SETS, Job, Plan, Set, rows_of, spent
from reproduce.work import COUNTS, PROBE, names_of

WHATS = ("cams", "masks", "seg")
TITLES = {"cams": "CAM", "masks": "pseudo mask", "seg": "segmenter"}
REPLICATES = 2000
INTRODUCTION = (
    "Mean IoU in percent on the validation split [95 % over source images and seeds]; in brackets the gain over "
    f"`{BASE}` with the same seeds; a result of fewer seeds says so. Maps are scored at thresholds fitted "
    "on the other images. Gate `oracle`: maps and pseudo masks only hold the classes of the true label; segmenters "
    "have no gate. Worst class: the largest loss of any class's map in any seed. The judges are stand-ins, see "
    "scripts/reproduce/README.md."
)
ENDS = (0.025, 0.975)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """Counts of one run: N n 3 for each of maps, masks and segmenter."""

    job: Job
    counts: Mapping[str, NDArray[np.int64]]


def collect(plan: Plan, sets: Iterable[str]) -> list[Result]:
    """Read the counts of all finished runs."""
    found = []
    for of in (SETS[name] for name in sets):
        for row in (*rows_of(of), *ABLATION):
            for path in sorted((plan.out / of.name / row).glob(f"seed*/{COUNTS}")):
                seed = int(path.parent.name.removeprefix("seed"))
                with np.load(path, allow_pickle=False) as file:
                    counts = {what: file[what] for what in WHATS if what in file}
                found.append(Result(Job(plan, of, row, seed), counts))
    return found


def write_tables(results: Sequence[Result], plan: Plan) -> Path:
    """Write `runs.csv`, `rows.csv` and `table.md`; returns the path of the last."""
    lines = [_line(each) for each in results]
    every = ((of, row) for of in SETS.values() for row in (*rows_of(of), *ABLATION))
    rows = [_row(of, row, results) for of, row in every if _of(results, of, row)]
    write_text(plan.out / "runs.csv", _csv(lines))
    write_text(plan.out / "rows.csv", _csv(rows))
    write_text(plan.out / "table.md", _markdown(rows, results, plan))
    return plan.out / "table.md"


def miou(counts: NDArray[np.int64], of: Set) -> Floats:
    """Mean IoU (...) of summed counts (... n 3) over the classes of the headline."""
    names = names_of(of)
    return mean_of(iou_of(counts), [names.index(name) for name in of.headline])


def replicates(results: Sequence[Result], what: str, seeds: Sequence[int], draws: NDArray[np.int64]) -> Floats:
    """Mean over seeds of the mean IoU, in every replicate (R).

    Args:
        results: Results of one row, one for each seed.
        what: `cams`, `masks` or `seg`.
        seeds: Seeds in the order of the draws.
        draws: R S, number of draws of each seed in a replicate.
    """
    by_seed = {each.job.seed: each for each in results}
    values = []
    for seed in seeds:
        counts = by_seed[seed].counts[what]
        weights = np.stack([source_weights(0, image, len(draws)) for image in range(len(counts))], axis=1)
        values.append(miou(np.einsum("ri,inc->rnc", weights, counts), by_seed[seed].job.of))
    scored: Floats = np.stack(values, axis=1)
    return np.asarray((scored * draws).sum(axis=1) / draws.sum(axis=1), np.float64)


def draw_seeds(number: int) -> NDArray[np.int64]:
    """Draw seeds with replacement, as many as there are; R S numbers of draws."""
    return np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), REPLICATES)


def gain(row: Sequence[Result], base: Sequence[Result], what: str) -> tuple[float, float, float] | None:
    """Difference between two rows on the seeds that both have, with the ends of its 95 % interval."""
    both = [[each for each in side if what in each.counts] for side in (row, base)]
    seeds = sorted({each.job.seed for each in both[0]} & {each.job.seed for each in both[1]})
    if not seeds:
        return None
    draws = draw_seeds(len(seeds))
    apart = replicates(both[0], what, seeds, draws) - replicates(both[1], what, seeds, draws)
    scored = [
        [float(miou(each.counts[what].sum(0), each.job.of)) for each in side if each.job.seed in seeds] for side in both
    ]
    low, high = np.nanquantile(apart, ENDS)
    return float(np.mean(scored[0]) - np.mean(scored[1])), float(low), float(high)


def worst_class(row: Sequence[Result], base: Sequence[Result]) -> tuple[float, str] | None:
    """The class whose maps lose most against the other row in any seed; it finds classes that collapsed."""
    others = {each.job.seed: each for each in base if "cams" in each.counts}
    losses = [
        (float(apart), f"{name}, seed {each.job.seed}")
        for each in row
        if "cams" in each.counts and each.job.seed in others
        for name, apart in zip(
            names_of(each.job.of),
            iou_of(each.counts["cams"].sum(0)) - iou_of(others[each.job.seed].counts["cams"].sum(0)),
            strict=True,
        )
        if name in each.job.of.headline and not np.isnan(apart)
    ]
    return min(losses) if losses else None


def _of(results: Sequence[Result], of: Set, row: str) -> list[Result]:
    return [each for each in results if each.job.of.name == of.name and each.job.row == row]


def _line(result: Result) -> dict[str, object]:
    job = result.job
    line: dict[str, object] = {"set": job.of.name, "row": job.row, "seed": job.seed}
    one = np.ones((REPLICATES, 1), np.int64)
    for what in WHATS:
        value = low = high = None
        if what in result.counts:
            value = float(miou(result.counts[what].sum(0), job.of))
            low, high = np.nanquantile(replicates([result], what, [job.seed], one), ENDS)
        line |= {what: _short(value), f"{what}_low": _short(low), f"{what}_high": _short(high)}
    counts = next(iter(result.counts.values())).sum(0)
    line |= {f"iou {name}": _short(iou) for name, iou in zip(names_of(job.of), iou_of(counts), strict=True)}
    line["best_threshold_saw_truth"] = _short(_best(job))
    seconds, memory = spent(job.out) or (None, None)
    return {**line, "seconds": _short(seconds), "peak_mib": _short(memory)}


def _best(job: Job) -> float | None:
    path = job.out / "cams" / "val" / "scores" / "metrics.json"
    if not path.is_file():
        return None
    best = json.loads(path.read_text(encoding="utf-8"))[0].get("best_threshold")
    return float(best["miou"]) if best else None


def _row(of: Set, row: str, results: Sequence[Result]) -> dict[str, object]:
    against = ABLATED if row in ABLATION else BASE
    mine, base = _of(results, of, row), _of(results, of, against)
    line: dict[str, object] = {"set": of.name, "row": row, "seeds": len(mine)}
    for what in WHATS:
        having = [each for each in mine if what in each.counts]
        values = [float(miou(each.counts[what].sum(0), of)) for each in having]
        line |= {what: _short(float(np.mean(values))) if values else "", f"{what}_seeds": len(values)}
        ends: tuple[float, float] | None = None
        if having:
            draws = draw_seeds(len(having))
            found = np.nanquantile(replicates(having, what, [each.job.seed for each in having], draws), ENDS)
            ends = (float(found[0]), float(found[1]))
        line |= {f"{what}_low": _short(ends and ends[0]), f"{what}_high": _short(ends and ends[1])}
        more = gain(mine, base, what) if row != against else None
        names = (f"{what}_gain", f"{what}_gain_low", f"{what}_gain_high")
        line |= dict(zip(names, map(_short, more or (None, None, None)), strict=True))
    worst = worst_class(mine, base) if row != against else None
    times = [each for each in (spent(result.job.out) for result in mine) if each]
    return {
        **line,
        "worst_class": _short(worst and worst[0]),
        "worst_class_name": worst[1] if worst else "",
        "seconds": _short(float(np.mean([each[0] for each in times]))) if times else "",
        "peak_mib": _short(max(each[1] for each in times)) if times else "",
    }


def _markdown(rows: Sequence[Mapping[str, Any]], results: Sequence[Result], plan: Plan) -> str:
    parts = [INTRODUCTION]
    for of in SETS.values():
        mine = [row for row in rows if row["set"] == of.name]
        if not mine:
            continue
        images = next(len(next(iter(each.counts.values()))) for each in results if each.job.of.name == of.name)
        title = f"## {of.title}, {images} validation images, gate `{_gate(of, plan)}`"
        main = _table([row for row in mine if row["row"] not in ABLATION])
        parts.append("\n".join([title, "", _judge(plan, of), "", *main, *_controlled(of, results)]))
        changed = [row for row in mine if row["row"] in ABLATION]
        if changed:
            parts.append("\n".join([f"Parts of `{ABLATED}`; gains are over all of it.", "", *_table(changed)]))
    return "\n\n".join(parts) + "\n"


def _gate(of: Set, plan: Plan) -> str:
    gate = Job(plan, of, BASE, 0).options().cams.gate
    return "none" if gate == "auto" else gate  # the recipes of photographs state it


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["| row | seeds | " + " | ".join(TITLES[what] for what in WHATS) + " | worst class | min | MiB |"]
    lines += ["|---|---|" + "---|" * (len(WHATS) + 3)]
    for row in rows:
        cells = [_cell(row, what) for what in WHATS]
        worst = f"{100 * float(row['worst_class']):+.1f} ({row['worst_class_name']})" if row["worst_class"] else ""
        time = f"{float(row['seconds']) / 60:.1f}" if row["seconds"] else ""
        memory = f"{float(row['peak_mib']):.0f}" if row["peak_mib"] else ""
        name = f"`{ABLATION[row['row']]}`" if row["row"] in ABLATION else row["row"]
        lines.append(f"| {name} | {row['seeds']} | {' | '.join(cells)} | {worst} | {time} | {memory} |")
    return lines


def _controlled(of: Set, results: Sequence[Result]) -> list[str]:
    """Gain of the method over each of its controls."""
    mine, told = _of(results, of, of.method), []
    for what in WHATS:
        found = {control: gain(mine, _of(results, of, control), what) for control in CONTROLS}
        each = [f"{_apart(more)} over `{control}`" for control, more in found.items() if more]
        told += [f"{TITLES[what]} {', '.join(each)}"] if each else []
    return ["", f"`{of.method}` against its controls: {'; '.join(told)}."] if told else []


def _apart(found: Sequence[float]) -> str:
    more, least, most = (100 * value for value in found)
    return f"{more:+.1f} [{least:+.1f}, {most:+.1f}]"


def _cell(row: Mapping[str, Any], what: str) -> str:
    if not row[what]:
        return ""
    value, low, high = (100 * float(row[key]) for key in (what, f"{what}_low", f"{what}_high"))
    text = f"{value:.1f} [{low:.1f}, {high:.1f}]"
    if row[f"{what}_gain"]:
        text += f" ({_apart([float(row[f'{what}_gain{end}']) for end in ('', '_low', '_high')])})"
    few = row[f"{what}_seeds"]
    return text if few == row["seeds"] else f"{text}, {few} seed{'s'[: few != 1]}"


def _judge(plan: Plan, of: Set) -> str:
    path = plan.out / of.name / PROBE
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    auc = ", ".join(f"{name} {value:.2f}" for name, value in found["regions_auc"].items() if value is not None)
    score = found["regions_balanced_accuracy"]
    named = f"names {100 * score:.0f} % of the truth's regions (balanced); " if score is not None else ""
    return f"Judge `{found['judge']}`, answers: {plan.answerer}. The judge {named}AUC of regions: {auc or 'none'}."


def _short(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.4g}"


def _csv(lines: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for line in lines for key in line))
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()
