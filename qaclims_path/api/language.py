"""Language: corpora of answers, judges, and answerers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaclims_path.api.data import Dataset, card_from
from qaclims_path.api.options import Where, optional, public, read, with_shard
from qaclims_path.config import Settings, settings_of
from qaclims_path.engine.settings import RunSettings
from qaclims_path.pipeline.answerer.options import ProbeOptions
from qaclims_path.pipeline.corpus.options import BuildOptions, ShowOptions
from qaclims_path.pipeline.judge.options import JudgeProbeOptions, JudgeTrainOptions

if TYPE_CHECKING:
    from qaclims_path.compute.regions import Fill, Mode
    from qaclims_path.models.judges.frozen import Dtype, FrozenJudge
    from qaclims_path.pipeline.answerer.probe import AnswererReport
    from qaclims_path.pipeline.corpus.build import BuildReport
    from qaclims_path.pipeline.corpus.diff import CorpusDiff
    from qaclims_path.pipeline.corpus.plan import CorpusPreview
    from qaclims_path.pipeline.corpus.published import ImportReport
    from qaclims_path.pipeline.corpus.show import ShowReport
    from qaclims_path.pipeline.corpus.stats import CorpusStats
    from qaclims_path.pipeline.judge.probe import ProbeReport
    from qaclims_path.pipeline.judge.train import JudgeTrainReport


@public(BuildOptions)
def build_corpus(
    config: Where,
    root: Where,
    out: Where,
    *,
    settings: Settings = (),
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "BuildReport":
    """Ask about every class of every image of a split, and write the corpus; a stopped build continues.

    Args:
        config: A name such as `wsss4luad`, `phantom` or `voc2012`, or a YAML file.
        root: Folder of the data in the publisher's layout.
        out: The corpus, a `.jsonl` file.
        settings: Changes of the configuration, as a dictionary such as `{"judge.id": "vinid/plip"}`.
        **options: Fields of `BuildOptions`.

    Examples:
        >>> build_corpus("phantom", "phantom", "corpus.jsonl").complete  # doctest: +SKIP
        True
    """
    from qaclims_path.pipeline.corpus.build import build_corpus as build
    from qaclims_path.pipeline.corpus.options import load_corpus_options

    work = read(BuildOptions, with_shard(options), "build_corpus")
    return build(load_corpus_options(str(config), settings_of(settings)), Path(root), Path(out), work)


@public()
def preview_corpus(config: Where, root: Where, *, settings: Settings = ()) -> "CorpusPreview":
    """Return the questions that `build_corpus` would ask; nothing is written.

    Args:
        config: A name such as `phantom`, or a YAML file.
        root: Folder of the data in the publisher's layout.
        settings: Changes of the configuration.

    Examples:
        >>> preview_corpus("phantom", "phantom").images  # doctest: +SKIP
        24
    """
    from qaclims_path.pipeline.corpus.options import load_corpus_options
    from qaclims_path.pipeline.corpus.plan import preview_corpus as preview

    return preview(load_corpus_options(str(config), settings_of(settings)), Path(root))


@public()
def import_corpus(
    foreground: Where, background: Where, out: Where, *, dataset: Dataset | None = None
) -> "ImportReport":
    """Turn the published answer files of QA-CLIMS into a corpus; nothing in them is executed.

    Args:
        foreground: Published answers about the classes, `.npy`.
        background: Published answers about their surroundings, `.npy`.
        out: The corpus to write, a `.jsonl` file.
        dataset: Name of a card, path of a card, or a card, whose class names the answers get.

    Examples:
        >>> import_corpus("voc_vqa_fg_blip.npy", "voc_vqa_bg_blip.npy", "corpus.jsonl").pairs  # doctest: +SKIP
        15000
    """
    from qaclims_path.pipeline.corpus.published import import_published

    card = None if dataset is None else card_from(dataset)
    return import_published(Path(foreground), Path(background), Path(out), card=card)


@public(ShowOptions)
def show_corpus(
    corpus: Where,
    *,
    html: Where | None = None,
    root: Where | None = None,
    dataset: Dataset | None = None,
    split: str | None = None,
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "ShowReport":
    """Return the most frequent terms of each class and example images, and write them as a page on request.

    Args:
        corpus: A corpus.
        html: Page to write.
        root: Folder of the data, for the pictures of the page.
        dataset: Name of a card, path of a card, or a card; that of the corpus when None.
        split: Split of the images; that of the corpus when None.
        **options: Fields of `ShowOptions`.

    Examples:
        >>> show_corpus("corpus.jsonl", html="corpus.html", root="phantom").page  # doctest: +SKIP
        'corpus.html'
    """
    from qaclims_path.pipeline.corpus.show import show_corpus as show
    from qaclims_path.pipeline.corpus.show import write_page

    report = show(Path(corpus), read(ShowOptions, options, "show_corpus"))
    if html is None:
        return report
    card = None if dataset is None else card_from(dataset)
    return write_page(report, Path(html), card=card, root=optional(root), split=split)


@public()
def corpus_stats(corpus: Where) -> "CorpusStats":
    """Count answers, terms and dropped answers, and measure how alike the texts of classes are.

    Examples:
        >>> corpus_stats("corpus.jsonl").lines  # doctest: +SKIP
        48
    """
    from qaclims_path.pipeline.corpus.stats import corpus_stats as stats

    return stats(Path(corpus))


@public()
def corpus_diff(before: Where, after: Where) -> "CorpusDiff":
    """Compare two corpora.

    Examples:
        >>> corpus_diff("retrieval.jsonl", "chat.jsonl").changed  # doctest: +SKIP
        31
    """
    from qaclims_path.pipeline.corpus.diff import corpus_diff as diff

    return diff(Path(before), Path(after))


@public()
def load_judge(
    id: Where,  # noqa: A002 - as models are called everywhere
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: "Dtype" = "auto",
    mode: "Mode" = "soft",
    fill: "Fill" = "zero",
    published_pixels: bool = False,
) -> "FrozenJudge":
    """Load a vision-language model that compares image regions with texts.

    Args:
        id: `owner/name` on the hub, a folder, `open_clip:MODEL@TAG`, `open_clip:MODEL@FILE`, `ovseg:FILE`,
            `FAMILY:NAME` of a plug-in, or `embedded`, the small one for painted tissue.
        revision: Branch, tag or commit on the hub.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: Precision; `auto` is bf16 on a GPU (fp16 if it has no bf16), and elsewhere that of the autocast around.
        mode: Way in which a region is cut out of its image.
        fill: Replacement for the pixels outside a region.
        published_pixels: Pass on the backbone's normalised pixels, as the original code does.

    Examples:
        >>> judge = load_judge("vinid/plip")  # doctest: +SKIP
        >>> judge.encode_texts(["an H&E image of tumor"]).shape  # doctest: +SKIP
        torch.Size([1, 512])
    """
    from qaclims_path.models.judges import load_judge as load

    return load(
        str(id), revision=revision, device=device, dtype=dtype, mode=mode, fill=fill, published_pixels=published_pixels
    )


@public(JudgeProbeOptions)
def probe_judge(
    judge: "Where | FrozenJudge",
    dataset: Dataset,
    root: Where,
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "ProbeReport":
    """Measure whether a judge tells the classes apart, before any training.

    Args:
        judge: A judge, or its id as `load_judge` takes it.
        dataset: Name of a card, path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        **options: Fields of `JudgeProbeOptions`; mode, filling and device are those of a judge that is given.

    Examples:
        >>> probe_judge("vinid/plip", "bcss-wsss", "BCSS-WSSS", limit=200).images.auc  # doctest: +SKIP
        (0.91, 0.87, 0.94, 0.83)
    """
    from qaclims_path.pipeline.judge.probe import judge_of
    from qaclims_path.pipeline.judge.probe import probe_judge as probe

    chosen = read(JudgeProbeOptions, options, "probe_judge")
    loaded = judge_of(str(judge), chosen) if isinstance(judge, (str, Path)) else judge
    return probe(loaded, card_from(dataset), Path(root), chosen)


@public(JudgeTrainOptions, RunSettings)
def train_judge(
    dataset: Dataset,
    root: Where,
    out: Where,
    *,
    split: str | None = None,
    image_weights: Where | None = None,
    **options: Any,  # noqa: ANN401 - the models check them
) -> "JudgeTrainReport":
    """Train a small judge on image-level labels and captions, or continue a stopped training; masks are never opened.

    Args:
        dataset: Name of a card, path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        out: Folder of the judge, in open_clip's format.
        split: Split to learn from; the first for training when None.
        image_weights: Initial weights of the image tower (safetensors, timm's names).
        **options: Fields of `JudgeTrainOptions` and `RunSettings`.

    Examples:
        >>> train_judge("phantom", "phantom", "judge", epochs=30).images  # doctest: +SKIP
        240
    """
    from qaclims_path.pipeline.judge.train import train_judge as train

    chosen, running = read(JudgeTrainOptions, options, "train_judge"), read(RunSettings, options, "train_judge")
    weights = optional(image_weights)
    card = card_from(dataset)
    return train(card, Path(root), Path(out), options=chosen, split=split, image_weights=weights, running=running)


@public(ProbeOptions)
def probe_answerer(
    answerer: str,
    dataset: Dataset,
    root: Where,
    **options: Any,  # noqa: ANN401 - the model checks them
) -> "AnswererReport":
    """Measure how often answers name a class of the image, by kind and topic, and how fast they come.

    Args:
        answerer: `KIND:MODEL`, such as `blip:Salesforce/blip-vqa-base`, `chat:FOLDER` or `retrieval:JUDGE`.
        dataset: Name of a card, path of a card, or a card.
        root: Folder of the data in the publisher's layout.
        **options: Fields of `ProbeOptions`.

    Examples:
        >>> probe_answerer("embedded", "phantom", "phantom", images=8).unread  # doctest: +SKIP
        0
    """
    from qaclims_path.pipeline.answerer.probe import answerer_of, words_of
    from qaclims_path.pipeline.answerer.probe import probe_answerer as probe

    chosen = read(ProbeOptions, options, "probe_answerer")
    words = words_of(card_from(dataset), chosen)
    return probe(answerer_of(answerer, words, chosen), words, Path(root), chosen)
