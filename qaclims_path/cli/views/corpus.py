"""How corpora, and what was done with them, are laid out on a screen."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.language.corpus import Entry, printable
from qaclims_path.language.questions import KINDS
from qaclims_path.report.numbers import spaced

if TYPE_CHECKING:  # torch comes with some of them
    from qaclims_path.pipeline.corpus.build import BuildReport
    from qaclims_path.pipeline.corpus.diff import CorpusDiff
    from qaclims_path.pipeline.corpus.plan import CorpusPreview
    from qaclims_path.pipeline.corpus.published import ImportReport
    from qaclims_path.pipeline.corpus.show import ShowReport
    from qaclims_path.pipeline.corpus.stats import CorpusStats, KindStats

FAINT = "bright_black"


def preview_view(found: "CorpusPreview") -> Iterator[RenderableType]:
    """What would be asked of how many images."""
    organ = f" of {found.organ}" if found.organ else ""
    yield Text(f"{spaced(found.images)} images of '{found.split}' with the bank '{found.bank}'{organ}.", style="bold")
    for label, questions in found.questions.items():
        yield Text(f"\n{label}: {spaced(found.pairs[label])} images, {len(questions)} questions each", style="bold")
        for question in questions:
            yield Text(f"  {question}")
    if found.unlabelled:
        yield Text(f"\n{spaced(found.unlabelled)} images have no class and are passed over.", style=FAINT)
    yield Text("Nothing was asked, and nothing was written.", style=FAINT)


def build_view(report: "BuildReport") -> Iterator[RenderableType]:
    """Totals, then what somebody should look at."""
    for failure in report.failures:
        yield Text.assemble(("Not read: ", "red"), failure)
    if report.failed > len(report.failures):
        yield Text(
            f"... and {spaced(report.failed - len(report.failures))} more; `error` in {report.out} has them all."
        )
    if report.failed:
        yield Text("Mend them and run the same command again: of a complete corpus, only these are asked about.")
    if report.unlabelled:
        yield Text(f"{spaced(report.unlabelled)} images have no class and were passed over.", style=FAINT)
    share = f" ({report.kept / report.answers:.0%})" if report.answers else ""
    unlike = f", {spaced(report.unlike)} were too unlike their image" if report.unlike else ""
    yield Text(f"{spaced(report.answers)} answers, {spaced(report.kept)}{share} kept by cleaning{unlike}.")
    if report.without:
        yield Text(f"{spaced(report.without)} lines have no answer about their class.", style="yellow")
    if not report.complete:
        yield Text(f"This part of {report.out} is done; the last part to end joins them.", style="bold")
        return
    verdict = "bold red" if report.failed else "green"
    yield Text(f"{report.out}: {spaced(report.pairs)} lines about {spaced(report.images)} images.", style=verdict)
    yield Text(f"Look at it: qaclims corpus show {report.out} --html corpus.html --root DATA", style=FAINT)


def import_view(report: "ImportReport") -> Iterator[RenderableType]:
    """What was taken over, and what was not."""
    for label, lines in report.unknown.items():
        yield Text.assemble(("Left out: ", "yellow"), f"{spaced(lines)} lines about '{label}', not on the card.")
    yield Text(f"{spaced(report.answers)} answers, {spaced(report.kept)} kept by cleaning as published.")
    yield Text(f"{report.out}: {spaced(report.pairs)} lines about {spaced(report.images)} images.", style="green")


def show_view(report: "ShowReport", *, answers: bool) -> Iterator[RenderableType]:
    """The terms of each class side by side; the answers of the examples where they are asked for."""
    for one in report.classes:
        failed = f", {spaced(one.failed)} not read" if one.failed else ""
        yield Text(f"\n{printable(one.label)} ({spaced(one.pairs)} images{failed})", style="bold")
        if answers:
            for entry in one.examples:
                yield _answers(entry)
            continue
        table = _table("said of it", ">", "said of what surrounds it", ">")
        for place in range(max(len(one.foreground), len(one.background))):
            table.add_row(*_cell(one.foreground, place), *_cell(one.background, place))
        yield table
    if report.page is not None:
        missing = f" {report.without_picture} pictures were not found." if report.without_picture else ""
        yield Text(f"\n{report.page} was written.{missing}", style="green")


def stats_view(report: "CorpusStats") -> Iterator[RenderableType]:
    """Classes, then questions, then who answered."""
    failed = f", {spaced(report.failed)} of them of images that could not be read" if report.failed else ""
    lines = f"{spaced(report.lines)} lines about {spaced(report.images)} images{failed}"
    yield Text(f"{report.corpus}: {lines}.", style="bold")
    for kind, title in zip(KINDS, ("Said of the class", "Said of what surrounds it"), strict=True):
        yield Text(f"\n{title}", style="bold")
        table = _table("class", ">lines", ">answers", ">kept", ">terms", ">per line", "most alike", ">overlap")
        for one in report.classes:
            found = one.foreground if kind == "foreground" else one.background
            table.add_row(Text(printable(one.label)), spaced(one.pairs), *_numbers(found))
        yield table
    yield Text("\nQuestions, as they were first asked", style="bold")
    table = _table("question", ">answers", ">kept", "most frequent")
    for question in report.questions:
        most = ", ".join(f"{printable(term)} ({count})" for term, count in question.most[:3])
        table.add_row(Text(question.example), spaced(question.answers), spaced(question.kept), Text(most))
    yield table
    for answerer, count in report.answerers.items():
        yield Text(f"\nAnswered by {printable(answerer)}: {spaced(count)} lines.", style=FAINT)
    unlike = sum(one.foreground.unlike + one.background.unlike for one in report.classes)
    if unlike:
        yield Text(f"{spaced(unlike)} answers were dropped as too unlike their image.", style=FAINT)
    added = sum(one.added for one in report.classes)
    if added:
        yield Text(f"{spaced(added)} terms were not answered but added from their class or the card.", style=FAINT)


def diff_view(report: "CorpusDiff") -> Iterator[RenderableType]:
    """How many lines differ, which terms, and the first lines."""
    only = f"{spaced(report.only_before)} only in the first, {spaced(report.only_after)} only in the second"
    yield Text(f"{spaced(report.same)} lines say the same, {spaced(report.changed)} differ, {only}.", style="bold")
    if report.terms:
        table = _table("class", "kind", "term", ">first", ">second")
        for change in report.terms:
            counts = (spaced(change.before), spaced(change.after))
            table.add_row(Text(printable(change.label)), change.kind, Text(change.term), *counts)
        yield table
    for line in report.lines:
        yield Text(f"\n{printable(line.image)}, {printable(line.label)}, {line.kind}", style="bold")
        yield Text(f"- {', '.join(line.before) or 'nothing'}", style="red")
        yield Text(f"+ {', '.join(line.after) or 'nothing'}", style="green")


def _answers(entry: Entry) -> Table:
    table = _table("question", "answer", "text", ">score")
    for kind in KINDS:
        for said in entry.answers(kind):
            score = "" if said.score is None else f"{said.score:.3f}"
            question = said.question if said.source == "answer" else f"(from the {said.source})"
            table.add_row(Text(question), Text(said.raw, style=FAINT), Text(said.text), score)
    return table


def _cell(terms: Sequence[tuple[str, int]], place: int) -> tuple[Text, str]:
    if place >= len(terms):
        return Text(""), ""
    term, count = terms[place]
    return Text(term), spaced(count)


def _numbers(found: "KindStats") -> tuple[str, str, str, str, Text, str]:
    per_pair = "" if found.per_pair is None else f"{found.per_pair:.1f}"
    counts = (spaced(found.answers), spaced(found.kept), spaced(found.terms))
    alike = "" if found.overlap is None else f"{found.overlap:.2f}"
    return *counts, per_pair, Text(printable(found.closest)), alike


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style=FAINT, padding=(0, 2, 0, 0))
    for name in columns:
        right = name.startswith(">")
        table.add_column(Text(name.lstrip(">")), justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table
