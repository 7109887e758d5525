"""A comparison as it is shown: the cells of its tables, and the tables in Markdown and LaTeX."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_text
from qaclims_path.report.comparison import CompareReport, Difference, Mean, Table, write_rows
from qaclims_path.report.numbers import number, percent

STAGES = {"cams": "Activation maps", "masks": "Pseudo masks", "seg": "Segmenter"}
NONE = "-"
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # behind the end of a row it would begin an argument
    "±": r"$\pm$",
    "µ": r"$\mu$",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
}


@dataclass(frozen=True)
class Shown:
    """A table as text.

    Attributes:
        title: What is compared, and under which rules.
        columns: The head: method and seeds, then columns of numbers.
        rows: Cells of our rows.
        published: Cells of the published rows.
        notes: Sentences below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    published: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def shown(table: Table) -> Shown:
    """Format a table for people: scores and differences in percent, with deviations and 95 % intervals."""
    key, against = table.key, next((row.difference.against for row in table.rows if row.difference), "")
    width = 5 if against else 4
    ours = [
        (row.label, str(len(row.seeds)), _mean(row.miou), _mean(row.dice), _difference(row.difference))
        for row in table.rows
    ]
    others = [
        (
            f"{each.method} ({each.source})",
            "",
            _spread(number(each.miou, ".2f"), number(each.miou_std, ".2f")),
            number(each.dice, ".2f"),
            "",
        )
        for each in table.published  # in percent already
    ]
    why_not = (
        f"{row.label}: not compared with {row.difference.against}, {row.difference.why_not}"
        for row in table.rows
        if row.difference and row.difference.why_not
    )
    return Shown(
        f"{STAGES[key.what]} of {key.dataset}, split {key.split}, protocol {key.protocol}, gate {key.gate}",
        ("method", "seeds", "mIoU %", "Dice %", f"mIoU against {against}{_level(table)}")[:width],
        tuple(row[:width] for row in ours),
        tuple(row[:width] for row in others),
        (*why_not, *table.notes),
    )


def check_table(out: Path) -> None:
    """Refuse a table whose ending does not say its format."""
    if out.suffix not in WRITERS:
        raise UsageError(
            f"{out} should end in {', '.join(WRITERS)}: all numbers as CSV, or tables in LaTeX or Markdown."
        )


def write_table(report: CompareReport, out: Path) -> None:
    """Write a comparison in the format of the file's ending: `.csv`, `.tex` or `.md`."""
    check_table(out)
    WRITERS[out.suffix](report, out)


def markdown(report: CompareReport) -> str:
    """Write a comparison as tables in Markdown."""
    return "\n\n".join(_markdown(shown(table)) for table in report.tables) + "\n"


def latex(report: CompareReport) -> str:
    """Write a comparison as tables in LaTeX, for the package booktabs."""
    tables = (_latex(shown(table)) for table in report.tables)
    return "% Written by `qaclims compare`; the preamble needs \\usepackage{booktabs}.\n" + "\n\n".join(tables) + "\n"


def in_markdown(text: str) -> str:
    r"""Escape what Markdown would take for markup.

    Examples:
        >>> in_markdown("a|b_c")
        'a\\|b\\_c'
    """
    return re.sub(r"([\\`*_\[\]<>|~#])", r"\\\1", _line(text))


def in_latex(text: str) -> str:
    r"""Escape what LaTeX would take for commands.

    Examples:
        >>> in_latex("50 % of a_b")
        '50 \\% of a\\_b'
    """
    return "".join(LATEX.get(letter, letter) for letter in _line(text))


def _markdown(table: Shown) -> str:
    cells = [table.columns, *table.rows, *table.published]
    lines = ["| " + " | ".join(map(in_markdown, row)) + " |" for row in cells]
    lines.insert(1, f"|---{'|---:' * (len(table.columns) - 1)}|")
    notes = (in_markdown(note) for note in table.notes)
    return "\n\n".join([f"**{in_markdown(table.title)}**", "\n".join(lines), *notes])


def _latex(table: Shown) -> str:
    ours, published = ([_latex_row(row) for row in rows] for rows in (table.rows, table.published))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{in_latex(table.title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            _latex_row(table.columns),
            r"\midrule",
            *ours,
            *([r"\midrule", *published] if published else []),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\smallskip{{\footnotesize {in_latex(note)}}}" for note in table.notes),
            r"\end{table}",
        ]
    )


def _latex_row(cells: Sequence[str]) -> str:
    name, *numbers = map(in_latex, cells)
    return " & ".join([name, *(re.sub(r"(?<!\S)(\{\[\})?-(?=\d)", r"\1$-$", each) for each in numbers)]) + r" \\"


def _line(text: str) -> str:
    return " ".join(text.split())


def _mean(score: Mean) -> str:
    return _spread(percent(score.mean), percent(score.std))


def _spread(mean: str, std: str) -> str:
    return mean if NONE in (mean, std) else f"{mean} ± {std}"


def _level(table: Table) -> str:
    return ", 95 %" if any(row.difference and row.difference.low is not None for row in table.rows) else ""


def _difference(apart: Difference | None) -> str:
    if apart is None or apart.mean is None:
        return NONE
    ends = ""
    if apart.low is not None and apart.high is not None:
        ends = f" [{100 * apart.low:+.2f}, {100 * apart.high:+.2f}]"
    return f"{100 * apart.mean:+.2f}{ends}"


WRITERS: dict[str, Callable[[CompareReport, Path], None]] = {
    ".csv": write_rows,
    ".tex": lambda report, out: write_text(out, latex(report)),
    ".md": lambda report, out: write_text(out, markdown(report)),
}
