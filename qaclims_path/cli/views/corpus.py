"""Show corpora, and what was built, imported and compared."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from qaclims_path.cli.views.tables import FAINT, plain_table
from qaclims_path.language.corpus import Entry, printable
from qaclims_path.language.questions import KINDS
from qaclims_path.report.numbers import number, spaced

if TYPE_CHECKING:  # some of them import torch
    from qaclims_path.pipeline.corpus.build import BuildReport
    from qaclims_path.pipeline.corpus.diff import CorpusDiff
    from qaclims_path.pipeline.corpus.plan import CorpusPreview
    from qaclims_path.pipeline.corpus.published import ImportReport
    from qaclims_path.pipeline.corpus.show import ShowReport
    from qaclims_path.pipeline.corpus.stats import CorpusStats, KindStats


def preview_view(plan: "CorpusPreview") -> Iterator[RenderableType]:
    """The questions that would be asked, and the number of images."""
    organ = f" of {plan.organ}" if plan.organ else ""
    yield Text(f"{spaced(plan.images)} images of '{plan.split}' with the bank '{plan.bank}'{organ}.", style="bold")
    for label, questions in plan.questions.items():
        yield Text(f"\n{label}: {spaced(plan.pairs[label])} images, {len(questions)} questions each", style="bold")
        yield from (Text(f"  {question}") for question in questions)
    if plan.unlabelled:
        yield Text(f"\n{spaced(plan.unlabelled)} images have no class and are skipped.", style=FAINT)
    yield Text("Nothing was asked, and nothing was written.", style=FAINT)


def build_view(report: "BuildReport") -> Iterator[RenderableType]:
    """Failures, then the totals and the next step."""
    yield from _failures(report)
    if report.unlabelled:
        yield Text(f"{spaced(report.unlabelled)} images have no class and were skipped.", style=FAINT)
    share = f" ({report.kept / report.answers:.0%})" if report.answers else ""
    unlike = f", {spaced(report.unlike)} were too unlike their image" if report.unlike else ""
    yield Text(f"{spaced(report.answers)} answers, {spaced(report.kept)}{share} kept by cleaning{unlike}.")
    if report.without:
        yield Text(f"{spaced(report.without)} lines have no answer about their class.", style="yellow")
    if not report.complete:
        yield Text(f"This part of {report.out} is done; the last part to end joins them.", style="bold")
        return
    style = "bold red" if report.failed else "green"
    yield Text(f"{report.out}: {spaced(report.pairs)} lines about {spaced(report.images)} images.", style=style)
    yield Text(f"Look at it: qaclims corpus show {report.out} --html corpus.html --root DATA", style=FAINT)


def import_view(report: "ImportReport") -> Iterator[RenderableType]:
    """Answers that were imported, and those that were left out."""
    for label, lines in report.unknown.items():
        yield Text.assemble(("Left out: ", "yellow"), f"{spaced(lines)} lines about '{label}', not on the card.")
    yield Text(f"{spaced(report.answers)} answers, {spaced(report.kept)} kept by cleaning as published.")
    yield Text(f"{report.out}: {spaced(report.pairs)} lines about {spaced(report.images)} images.", style="green")


def show_view(report: "ShowReport", *, answers: bool) -> Iterator[RenderableType]:
    """The most frequent terms of each class, or the answers of the examples."""
    for one in report.classes:
        failed = f", {spaced(one.failed)} not read" if one.failed else ""
        yield Text(f"\n{printable(one.label)} ({spaced(one.pairs)} images{failed})", style="bold")
        if answers:
            yield from (_answers(entry) for entry in one.examples)
        else:
            yield _terms(one.foreground, one.background)
    if report.page is not None:
        missing = f" {report.without_picture} pictures were not found." if report.without_picture else ""
        yield Text(f"\n{report.page} was written.{missing}", style="green")


def stats_view(report: "CorpusStats") -> Iterator[RenderableType]:
    """Classes, then questions, then answerers."""
    failed = f", {spaced(report.failed)} of them of images that could not be read" if report.failed else ""
    lines = f"{spaced(report.lines)} lines about {spaced(report.images)} images{failed}"
    yield Text(f"{report.corpus}: {lines}.", style="bold")
    for kind, title in zip(KINDS, ("Said of the class", "Said of its surroundings"), strict=True):
        yield Text(f"\n{title}", style="bold")
        table = plain_table("class", ">lines", ">answers", ">kept", ">terms", ">per line", "most alike", ">overlap")
        for one in report.classes:
            counts = one.foreground if kind == "foreground" else one.background
            table.add_row(Text(printable(one.label)), spaced(one.pairs), *_numbers(counts))
        yield table
    yield Text("\nQuestions, as they were first asked", style="bold")
    table = plain_table("question", ">answers", ">kept", "most frequent")
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
    """Numbers of lines that differ, terms that differ, and the first lines."""
    only = f"{spaced(report.only_before)} only in the first, {spaced(report.only_after)} only in the second"
    yield Text(f"{spaced(report.same)} lines say the same, {spaced(report.changed)} differ, {only}.", style="bold")
    if report.terms:
        table = plain_table("class", "kind", "term", ">first", ">second")
        for change in report.terms:
            counts = (spaced(change.before), spaced(change.after))
            table.add_row(Text(printable(change.label)), change.kind, Text(change.term), *counts)
        yield table
    for line in report.lines:
        yield Text(f"\n{printable(line.image)}, {printable(line.label)}, {line.kind}", style="bold")
        yield Text(f"- {', '.join(line.before) or 'nothing'}", style="red")
        yield Text(f"+ {', '.join(line.after) or 'nothing'}", style="green")


def _failures(report: "BuildReport") -> Iterator[Text]:
    for failure in report.failures:
        yield Text.assemble(("Not read: ", "red"), failure)
    if report.failed > len(report.failures):
        more = spaced(report.failed - len(report.failures))
        yield Text(f"... and {more} more; `error` in {report.out} has them all.")
    if report.failed:
        yield Text("Mend them and run the same command again: of a complete corpus, only these are asked about.")


def _answers(entry: Entry) -> Table:
    table = plain_table("question", "answer", "text", ">score")
    for kind in KINDS:
        for said in entry.answers(kind):
            question = said.question if said.source == "answer" else f"(from the {said.source})"
            score = number(said.score, ".3f", none="")
            table.add_row(Text(question), Text(said.raw, style=FAINT), Text(said.text), score)
    return table


def _terms(foreground: Sequence[tuple[str, int]], background: Sequence[tuple[str, int]]) -> Table:
    table = plain_table("said of it", ">", "said of its surroundings", ">")
    for row in range(max(len(foreground), len(background))):
        cells = [each[row] if row < len(each) else None for each in (foreground, background)]
        table.add_row(*(part for cell in cells for part in ((Text(cell[0]), spaced(cell[1])) if cell else ("", ""))))
    return table


def _numbers(counts: "KindStats") -> tuple[str, str, str, str, Text, str]:
    sums = (spaced(counts.answers), spaced(counts.kept), spaced(counts.terms))
    per_pair, overlap = number(counts.per_pair, ".1f", none=""), number(counts.overlap, ".2f", none="")
    return *sums, per_pair, Text(printable(counts.closest)), overlap
