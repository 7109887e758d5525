"""`qaclims corpus`: what language models say of every class of every image."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qaclims_path.cli.options import card_if_given
from qaclims_path.errors import UsageError
from qaclims_path.files.shards import Shard

if TYPE_CHECKING:
    pass

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="What is said of the classes of every image: build, import, show, count, compare.",
)

Corpus = Annotated[Path, typer.Argument(metavar="FILE", help="A corpus, as `qaclims corpus build` writes it.")]
Out = Annotated[Path, typer.Option(help="The corpus to write, a .jsonl file.")]
Dataset = Annotated[str | None, typer.Option(help="Name of the data set that the images are of.")]
CardFile = Annotated[Path | None, typer.Option("--card", help="A card of your own, instead of --dataset.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@app.command()
def build(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A name such as wsss4luad, phantom or voc2012, or a YAML file.")
    ],
    root: Annotated[Path, typer.Option(help="Folder of the data set, laid out as its publisher does.")],
    out: Annotated[Path, typer.Option(help="The corpus, a .jsonl file; the same command goes on where it stopped.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change an option, as in --set limit=20.")] = None,
    shard: Annotated[str, typer.Option(help="Do part i of n, as 2/8: for job arrays that share --out.")] = "1/1",
    device: Annotated[str, typer.Option(help="Where models compute: auto, cpu, cuda, cuda:1.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Number format of models: auto, float32, bfloat16, float16.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images that a model looks at together.")] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Ask about every class of every image. Exit code 3 when some images could not be read, 1 when none could.

    Example: `qaclims corpus build wsss4luad --root wsss4luad --out corpus.jsonl --set judge.id=judge`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.corpus.options import load_corpus_options

    options = load_corpus_options(config, settings or ())
    if dry_run:
        from qaclims_path.pipeline.corpus.plan import preview_corpus

        preview = preview_corpus(options, root)
        if as_json:
            print_json(preview)
        else:
            from qaclims_path.cli.views.console import print_parts
            from qaclims_path.cli.views.corpus import preview_view

            print_parts(preview_view(preview))
        return
    from qaclims_path.pipeline.corpus.build import BuildOptions, build_corpus

    report = build_corpus(options, root, out, BuildOptions(Shard.parse(shard), device, dtype, batch))
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.corpus import build_view

        print_parts(build_view(report))
    if report.failed:
        raise typer.Exit(3 if report.answers else 1)


@app.command("import")
def import_command(
    foreground: Annotated[Path, typer.Argument(metavar="FG.npy", help="Published answers about the classes.")],
    background: Annotated[Path, typer.Argument(metavar="BG.npy", help="Published answers about their surroundings.")],
    out: Out,
    dataset: Dataset = None,
    card: CardFile = None,
    as_json: Json = False,
) -> None:
    """Turn the published answer files of QA-CLIMS into a corpus; nothing in them is executed.

    Example: `qaclims corpus import voc_vqa_fg_blip.npy voc_vqa_bg_blip.npy --out corpus.jsonl --dataset voc2012`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.corpus.published import import_published

    report = import_published(foreground, background, out, card=card_if_given(dataset, card))
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.corpus import import_view

        print_parts(import_view(report))


@app.command()
def show(
    corpus: Corpus,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures, questions and answers.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set, for the pictures of the page.")] = None,
    dataset: Dataset = None,
    card: CardFile = None,
    split: Annotated[str | None, typer.Option(help="Split of the images; the one it was built with.")] = None,
    image: Annotated[str | None, typer.Option(help="Show the questions and answers of this image.")] = None,
    terms: Annotated[int, typer.Option(min=1, help="Terms of each class.")] = 20,
    examples: Annotated[int, typer.Option(min=0, help="Examples of each class.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of examples.")] = 0,
    as_json: Json = False,
) -> None:
    """Show what is said of each class most often, and example images on an HTML page.

    Example: `qaclims corpus show corpus.jsonl --html corpus.html --root wsss4luad`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.corpus.show import show_corpus, write_page

    if root is not None and html is None:
        raise UsageError("--root is for the pictures of a page. Give --html too, or leave --root out.")
    report = show_corpus(corpus, terms=terms, examples=examples, image=image, seed=seed)
    if html is not None:
        report = write_page(report, html, card=card_if_given(dataset, card), root=root, split=split)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.corpus import show_view

        print_parts(show_view(report, answers=image is not None))


@app.command()
def stats(corpus: Corpus, as_json: Json = False) -> None:
    """Count answers, terms and what was dropped, and say how much the classes are described alike.

    Example: `qaclims corpus stats corpus.jsonl`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.corpus.stats import corpus_stats

    report = corpus_stats(corpus)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.corpus import stats_view

        print_parts(stats_view(report))


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A corpus.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    as_json: Json = False,
) -> None:
    """Say what two corpora say differently.

    Example: `qaclims corpus diff retrieval.jsonl chat.jsonl`
    """
    from qaclims_path.cli.views.console import print_json
    from qaclims_path.pipeline.corpus.diff import corpus_diff

    report = corpus_diff(before, after)
    if as_json:
        print_json(report)
    else:
        from qaclims_path.cli.views.console import print_parts
        from qaclims_path.cli.views.corpus import diff_view

        print_parts(diff_view(report))
