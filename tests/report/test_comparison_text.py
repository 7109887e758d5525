"""A comparison as it is shown, and as tables in Markdown and LaTeX, whatever labels hold."""

import re
from pathlib import Path

import pytest

from qaclims_path.data.card_parts import Published
from qaclims_path.errors import UsageError
from qaclims_path.report.comparison import CompareReport, Difference, Key, Mean, Row, Table
from qaclims_path.report.comparison_text import in_latex, in_markdown, latex, markdown, shown, write_table

KEY = Key("mine_2", "seg", "test", "mlps", "none")
WILD = r"a_b & 50% #1 ~^ {x} $y$ \input <b> [z] | `c` *d*"
PAPER = Published(
    method="WSSS & co",
    source="Somebody 2024",
    split="test",
    protocol="mlps",
    gate="none",
    what="seg",
    miou=65.5,
    miou_std=0.4,
    dice=79.0,
)


def report(label: str = "qa-clims-path", difference: Difference | None = None) -> CompareReport:
    """A baseline of two seeds, a row against it, and a published one."""
    base = Row("cam", ("run",), ("0", "1"), Mean(0.5, 0.0123), Mean(0.6, None), None)
    apart = difference or Difference("cam", -0.0123, -0.03, 0.004, ("0",), 7)
    other = Row(label, ("other",), ("0",), Mean(0.4877, None), Mean(None, None), apart)
    return CompareReport((Table(KEY, (base, other), (PAPER,), ("The intervals are rough.",)),))


def test_a_table_is_shown_in_percent_with_deviations_and_intervals() -> None:
    found = shown(report().tables[0])
    assert found.title == "Segmenter of mine_2, split test, protocol mlps, gate none"
    assert found.columns == ("method", "seeds", "mIoU %", "Dice %", "mIoU against cam, 95 %")
    assert found.rows[0] == ("cam", "2", "50.00 ± 1.23", "60.00", "-")
    assert found.rows[1] == ("qa-clims-path", "1", "48.77", "-", "-1.23 [-3.00, +0.40]")
    assert found.published[0][:4] == ("WSSS & co (Somebody 2024)", "", "65.50 ± 0.40", "79.00")
    assert found.notes == ("The intervals are rough.",)


def test_a_missing_difference_is_explained_below_the_table() -> None:
    found = shown(report(difference=Difference("cam", why_not="no seed in common")).tables[0])
    assert found.columns[-1] == "mIoU against cam"
    assert found.notes[0] == "qa-clims-path: not compared with cam, no seed in common"


def test_markdown_has_one_line_per_row() -> None:
    lines = markdown(report()).splitlines()
    assert lines[0] == r"**Segmenter of mine\_2, split test, protocol mlps, gate none**"
    assert lines[2:4] == ["| method | seeds | mIoU % | Dice % | mIoU against cam, 95 % |", "|---|---:|---:|---:|---:|"]
    assert lines[4] == "| cam | 2 | 50.00 ± 1.23 | 60.00 | - |"
    assert lines[5] == r"| qa-clims-path | 1 | 48.77 | - | -1.23 \[-3.00, +0.40\] |"
    assert lines[-1] == "The intervals are rough."


def test_markup_in_labels_stays_text_in_markdown() -> None:
    line = markdown(report(WILD)).splitlines()[5]
    assert len(re.findall(r"(?<!\\)\|", line)) == 6  # the cells' own
    assert r"a\_b & 50% \#1 \~^ {x} $y$ \\input \<b\> \[z\] \| \`c\` \*d\*" in line
    assert in_markdown("two\n\nlines") == "two lines"


def test_latex_is_a_table_for_booktabs() -> None:
    text = latex(report())
    assert r"\usepackage{booktabs}" in text.splitlines()[0]
    assert r"\caption{Segmenter of mine\_2, split test, protocol mlps, gate none}" in text
    assert r"\begin{tabular}{lrrrr}" in text
    assert r"cam & 2 & 50.00 $\pm$ 1.23 & 60.00 & - \\" in text
    assert r"qa-clims-path & 1 & 48.77 & - & $-$1.23 {[}$-$3.00, +0.40] \\" in text
    assert r"WSSS \& co (Somebody 2024) &  & 65.50 $\pm$ 0.40 & 79.00 &  \\" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert r"{\footnotesize The intervals are rough.}" in text


def test_special_characters_in_labels_are_escaped_in_latex() -> None:
    escaped = (
        r"a\_b \& 50\% \#1 \textasciitilde{}\textasciicircum{} \{x\} \$y\$ \textbackslash{}input "
        r"\textless{}b\textgreater{} {[}z] \textbar{} `c` *d*"
    )
    assert in_latex(WILD) == escaped
    rows = [line for line in latex(report(WILD)).splitlines() if line.startswith("a\\_b")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)&", rows[0])) == 4
    assert in_latex("[first]") == "{[}first]"  # `\\[` would be a distance between rows


@pytest.mark.parametrize(("ending", "begins"), [(".csv", "dataset,"), (".tex", "%"), (".md", "**")])
def test_the_ending_of_the_file_chooses_the_format(tmp_path: Path, ending: str, begins: str) -> None:
    write_table(report(), tmp_path / f"new/table{ending}")
    assert (tmp_path / f"new/table{ending}").read_text(encoding="utf-8").startswith(begins)


@pytest.mark.parametrize("name", ["table", "table.xlsx", "table.tex.gz"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"should end in \.csv, \.tex, \.md: all numbers as CSV"):
        write_table(report(), tmp_path / name)
    assert not list(tmp_path.iterdir())
