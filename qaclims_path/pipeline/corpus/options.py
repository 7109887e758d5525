"""Options of a corpus: its configuration, the file beside the corpus that it is compared with, and what is shown."""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from qaclims_path.assets import asset_name
from qaclims_path.config import Options, Origin, Tree, merge, override, parse, read_chain, read_yaml
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_text
from qaclims_path.files.made_with import check_same
from qaclims_path.files.shards import ALL, Shard
from qaclims_path.language.shipped import find_yaml

WAYS_OUT = "Choose another --out, or build with the same configuration as before."


class AnswererOptions(Options):
    """The answerer.

    Attributes:
        kind: Kind of answerer, such as `blip`, `chat`, `retrieval` or `file`.
        model: Hub id, folder or file, where the kind needs one.
        revision: Revision of a model on a hub.
        size: Side of the square that images are resized to, in pixels; that of the model by default.
        decoding: How `blip` answers: `greedy` takes the likeliest word each time; `released` does as QA-CLIMS, with
            [ENC] before the question, three beams, and at most nine words with the end.
    """

    kind: str = "retrieval"
    model: str | None = None
    revision: str | None = None
    size: Annotated[int, Field(ge=1)] | None = None
    decoding: Literal["greedy", "released"] = "greedy"


class JudgeOptions(Options):
    """The judge that ranks terms for retrieval and measures similarities.

    Attributes:
        id: A hub id, a folder, or as its family names it; that of the recipe in a run.
        revision: Revision on the hub.
    """

    id: str
    revision: str | None = None


class CleaningOptions(Options):
    """Cleaning of answers.

    Attributes:
        published: Clean as the released QA-CLIMS does: repair with the class name, drop repetitions.
        lemmatiser: Lemmas of the published cleaning: `simplemma` word by word, or `wordnet` for whole answers, as
            released; only answers of one word change then.
        wordnet: Folder of WordNet's files for `wordnet`, such as that of Debian's package wordnet-base.
        min_similarity: Drop answers below this cosine of image and text; needs a judge.
    """

    published: bool = False
    lemmatiser: Literal["simplemma", "wordnet"] = "simplemma"
    wordnet: str | None = None
    min_similarity: Annotated[float, Field(ge=-1, le=1)] | None = None

    @model_validator(mode="after")
    def _wordnet_has_a_folder_and_a_use(self) -> "CleaningOptions":
        if (self.lemmatiser == "wordnet") != (self.wordnet is not None):
            raise ValueError("'lemmatiser: wordnet' and 'wordnet', the folder of its files, belong together")
        if self.wordnet is not None and not self.published:
            raise ValueError("'lemmatiser: wordnet' belongs to the published cleaning; it needs 'published: true'")
        return self


class SharingOptions(Options):
    """Terms that are added to the answers.

    Attributes:
        fallback: Number of the most frequent terms of its class that an image without answers gets.
        card: Use the card's terms where a whole class has no answer, add them to every image, or leave them out.
    """

    fallback: Annotated[int, Field(ge=0, le=100)] = 8
    card: Literal["fallback", "add", "none"] = "fallback"


class CorpusOptions(Options):
    """Everything that affects a corpus.

    Attributes:
        dataset: Name or path of a card.
        split: Split of the data set.
        bank: Name or path of a question bank.
        organ: Organ of the bank's overlay and the lexicon's terms; by default that of the card, `none` for terms of no
            organ.
        lexicon: Name or path of a lexicon.
        together: Number of images that are asked about in one call.
        limit: Use only the first images, this many.
        seed: Seed of answerers that draw random numbers.
    """

    dataset: str
    split: str = "train"
    bank: str = "histology"
    organ: str | None = None
    lexicon: str | None = None
    answerer: AnswererOptions = AnswererOptions()
    judge: JudgeOptions | None = None
    cleaning: CleaningOptions = CleaningOptions()
    sharing: SharingOptions = SharingOptions()
    together: Annotated[int, Field(ge=1, le=1024)] = 16
    limit: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class BuildOptions(Options):
    """Options that affect nothing in a corpus but the last digits of its scores.

    Attributes:
        shard: Part of the images that this run asks about.
        device: Device of the models: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        dtype: Number format of the models: `auto`, `float32`, `bfloat16` or `float16`.
        batch: Images that a model looks at together.
    """

    shard: Shard = ALL
    device: str = "auto"
    dtype: str = "auto"
    batch: Annotated[int, Field(ge=1)] = 8


class ShowOptions(Options):
    """The part of a corpus that is shown.

    Attributes:
        image: Image whose questions and answers are shown alone; all images if not given.
        terms: Number of the most frequent terms of each class.
        examples: Number of examples of each class, chosen with the seed.
        seed: Seed of the choice of examples.
    """

    image: str | None = None
    terms: Annotated[int, Field(ge=1)] = 20
    examples: Annotated[int, Field(ge=0)] = 6
    seed: Annotated[int, Field(ge=0)] = 0


def load_corpus_options(name: str, settings: Sequence[str] = (), recipe: Origin | None = None) -> CorpusOptions:
    """Read a configuration by the name it has in `configs/corpus`, or by path.

    Args:
        name: The name or the path.
        settings: Overrides such as `limit=8`.
        recipe: Origin of the recipe whose section `corpus` gives the overrides, for messages.

    Examples:
        >>> load_corpus_options("phantom", ["limit=8"]).limit
        8
    """
    path, tree = (
        _find(name, Path.cwd()),
        override(reduce(merge, (tree for _, tree in corpus_layers(name)), {}), settings),
    )
    where = Origin(path, tuple(settings)) if recipe is None else Origin(path, recipe.settings, "corpus")
    return parse(CorpusOptions, tree, where)


def corpus_layers(name: str) -> list[tuple[str, Tree]]:
    """Read the files that make a configuration, from the lowest to the highest, each with its name."""
    chain = read_chain(_find(name, Path.cwd()), lambda reference, file: _find(reference, file.parent))
    return [(asset_name(file), tree) for file, tree in chain]


def config_path(corpus: Path) -> Path:
    """Return the file with the options that a corpus was built with."""
    return corpus.with_suffix(".config.yaml")


def check_built_with(corpus: Path, description: dict[str, Any]) -> None:
    """Refuse a corpus that was begun with other options; a new one is fine."""
    path = config_path(corpus)
    if not _begun(corpus):
        return
    if not path.exists():
        raise UsageError(f"{corpus} exists, but {path.name} beside it does not. Choose another --out.")
    check_same(corpus, read_yaml(path), description, WAYS_OUT)


def mark_built_with(corpus: Path, description: dict[str, Any]) -> None:
    """Write the options of a corpus beside it, before its first line."""
    import yaml

    check_built_with(corpus, description)
    if not _begun(corpus):
        header = f"# What {corpus.name} was built with, by `qaclims corpus build`.\n"
        write_text(config_path(corpus), header + yaml.safe_dump(description, sort_keys=False, allow_unicode=True))


def _begun(corpus: Path) -> bool:
    """Return whether a line of a corpus, or of a part of it, has been written."""
    if not corpus.parent.is_dir():
        return False
    mine = [path for path in corpus.parent.iterdir() if path == corpus or path.name.startswith(f"{corpus.name}.")]
    return any(path.stat().st_size > 0 for path in mine if path.is_file())


def _find(name: str, base: Path) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return base / name
    return find_yaml("corpus configuration", "corpus", name, base)
