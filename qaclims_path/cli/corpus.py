"""`qaclims corpus`: texts of language models about every class of every image."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.fields import Chosen, with_options
from qaclims_path.cli.options import (
    CardFile,
    Dataset,
    Json,
    Part,
    Root,
    chosen_card_or_none,
    new_app,
    override,
)
from qaclims_path.errors import UsageError
from qaclims_path.files.shards import Shard
from qaclims_path.pipeline.corpus.options import BuildOptions, ShowOptions

app = new_app("Texts about the classes of every image: build, import, show, stats, diff.")

Corpus = Annotated[Path, typer.Argument(metavar="FILE", help="A corpus, as `qaclims corpus build` writes it.")]


@app.command()
@with_options("chosen", BuildOptions, leave_out=["shard"])
def build(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A name such as wsss4luad, phantom or voc2012, or a YAML file.")
    ],
    root: Root,
    out: Annotated[Path, typer.Option(help="The corpus, a .jsonl file; the same command continues where it stopped.")],
    *,
    settings: Annotated[list[str] | None, override("judge.id=ID")] = None,
    shard: Part = "1/1",
    chosen: Chosen[BuildOptions],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the questions, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Ask about every class of every image. Exit code 3 when some images could not be read, 1 when none could.

    Example: `qaclims corpus build wsss4luad --root wsss4luad --out corpus.jsonl --set judge.id=judge`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.corpus import build_view, preview_view
    from qaclims_path.pipeline.corpus.options import load_corpus_options

    options = load_corpus_options(config, settings or ())
    if dry_run:
        from qaclims_path.pipeline.corpus.plan import preview_corpus

        show(preview_corpus(options, root), preview_view, as_json=as_json)
        return
    from qaclims_path.pipeline.corpus.plan import plan_corpus

    plan_corpus(options, root)  # wrong names and folders are refused before torch is imported
    from qaclims_path.pipeline.corpus.build import build_corpus

    work = chosen.options(shard=Shard.parse(shard))
    report = build_corpus(options, root, out, work)
    show(report, build_view, as_json=as_json, failed=report.failed, all_failed=not report.answers)


@app.command("import")
def import_command(
    foreground: Annotated[Path, typer.Argument(metavar="FG.npy", help="Published answers about the classes.")],
    background: Annotated[Path, typer.Argument(metavar="BG.npy", help="Published answers about their surroundings.")],
    out: Annotated[Path, typer.Option(help="The corpus to write, a .jsonl file.")],
    dataset: Dataset = None,
    card: CardFile = None,
    as_json: Json = False,
) -> None:
    """Turn the published answer files of QA-CLIMS into a corpus; nothing in them is executed.

    Example: `qaclims corpus import voc_vqa_fg_blip.npy voc_vqa_bg_blip.npy --out corpus.jsonl --dataset voc2012`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.corpus import import_view
    from qaclims_path.pipeline.corpus.published import import_published

    report = import_published(foreground, background, out, card=chosen_card_or_none(dataset, card))
    show(report, import_view, as_json=as_json)


@app.command("show")
@with_options("chosen", ShowOptions)
def show_command(
    corpus: Corpus,
    *,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures, questions and answers.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set, for the pictures of the page.")] = None,
    dataset: Dataset = None,
    card: CardFile = None,
    split: Annotated[str | None, typer.Option(help="Split of the images; that of the corpus if not given.")] = None,
    chosen: Chosen[ShowOptions],
    as_json: Json = False,
) -> None:
    """Show the most frequent terms of each class, and example images on an HTML page.

    Example: `qaclims corpus show corpus.jsonl --html corpus.html --root wsss4luad`
    """
    from functools import partial

    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.corpus import show_view
    from qaclims_path.pipeline.corpus.show import show_corpus, write_page

    if root is not None and html is None:
        raise UsageError("--root is for the pictures of a page. Give --html too, or leave --root out.")
    options = chosen.options()
    report = show_corpus(corpus, options)
    if html is not None:
        report = write_page(report, html, card=chosen_card_or_none(dataset, card), root=root, split=split)
    show(report, partial(show_view, answers=options.image is not None), as_json=as_json)


@app.command()
def stats(corpus: Corpus, as_json: Json = False) -> None:
    """Count answers, terms and dropped answers, and measure how alike the texts of classes are.

    Example: `qaclims corpus stats corpus.jsonl`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.corpus import stats_view
    from qaclims_path.pipeline.corpus.stats import corpus_stats

    show(corpus_stats(corpus), stats_view, as_json=as_json)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A corpus.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Another corpus.")],
    as_json: Json = False,
) -> None:
    """Show how two corpora differ.

    Example: `qaclims corpus diff retrieval.jsonl chat.jsonl`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.corpus import diff_view
    from qaclims_path.pipeline.corpus.diff import corpus_diff

    show(corpus_diff(before, after), diff_view, as_json=as_json)
