"""Train the network of the activation maps, with any method."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file
from torch import Tensor

from qaclims_path.config import read_yaml
from qaclims_path.data.augmentation import Augment, Augmentation, augmentation_for
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import SegmentationDataset, open_dataset
from qaclims_path.data.decoded import first_size
from qaclims_path.data.slide_labels import with_slide_labels
from qaclims_path.data.windows import Windows, collate_windows
from qaclims_path.engine.distributed import Processes, launch
from qaclims_path.engine.environment import environment
from qaclims_path.engine.kept import open_kept
from qaclims_path.engine.loop import FitResult, fit
from qaclims_path.engine.sampling import Groups
from qaclims_path.engine.seeds import preserved_random_state, seed_all
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_json, write_text
from qaclims_path.files.made_with import check_same
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.judges import load_judge
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.models.methods import build_method
from qaclims_path.models.weights import State, interpolate
from qaclims_path.pipeline.cam.checks import check_start, judge_id
from qaclims_path.pipeline.cam.options import AugmentOptions, TrainCamOptions
from qaclims_path.pipeline.cam.pictures import MapPictures
from qaclims_path.pipeline.cam.plan import Planner
from qaclims_path.pipeline.cam.precision import CPU_NOTE, judge_dtype, released_running
from qaclims_path.pipeline.cam.task import CamTask, Slides
from qaclims_path.pipeline.cam.teacher import Teacher, mean_embeddings
from qaclims_path.pipeline.cam.words import check_width, load_words
from qaclims_path.pipeline.configs import CONFIG, JudgeOptions, refuse_earlier_run

ENVIRONMENT, CAM, INIT = "environment.json", "cam", "init"
CORNERS = "published", "mask-prompt"  # modes that align corners, as the released code does
LOST = 0.01  # mean area in images of a class, as a share, below which the class is reported as lost
NETWORK = 4  # random stream of initial weights; the engine uses others


@dataclass(frozen=True)
class TrainCamReport:
    """Result of a training of maps.

    Attributes:
        run: Folder of the run, with the network in `cam/`.
        method: Name of the method in tables.
        judge: Id of the judge, None without one.
        images: Number of training images.
        epochs: Epochs done.
        steps: Optimiser steps done.
        over: `done`, or `early`.
        losses: Mean of every logged number over the last epoch.
        lost: Classes whose maps cover almost nothing of the images that show them.
        precision: Numeric precision.
        images_per_s: Images per second, all processes together.
        notes: Remarks on the initial weights.
    """

    run: str
    method: str
    judge: str | None
    images: int
    epochs: int
    steps: int
    over: str
    losses: dict[str, float]
    lost: tuple[str, ...]
    precision: str
    images_per_s: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Context:
    """Inputs, output folder and processes of a training."""

    card: Card
    root: Path
    out: Path
    corpus: Path | None
    processes: Processes


def train_cam(
    options: TrainCamOptions,
    root: Path,
    out: Path,
    *,
    corpus: Path | None = None,
    running: RunSettings = RunSettings(),  # noqa: B008 - frozen
) -> TrainCamReport:
    """Train the network of the maps, or continue a stopped training.

    Args:
        options: See `cam.options.load_options`.
        root: Folder of the data in the publisher's layout.
        out: Folder of the run.
        corpus: File of answers, for methods that use them.
        running: Devices, precision, workers.

    Examples:
        >>> train_cam(load_options("bcss-wsss/cam"), Path("BCSS-WSSS"), Path("run"))  # doctest: +SKIP
    """
    processes = launch(released_running(running, options.shared))
    context = _Context(load_card(options.shared.dataset), root, out, corpus, processes)
    processes.on_leader(lambda: _note(options, context))
    # before the starting maps, because this may fail and they take long
    teacher = _teacher(options, context) if _method(options).needs_judge(1.0) else None
    start = _start(options, context)
    return _train(options, context, start, teacher)


def _method(options: TrainCamOptions) -> Any:  # noqa: ANN401 - a Method
    settings = {key: value for key, value in options.cam.losses.items() if key != "method"}
    return build_method(str(options.cam.losses.get("method", options.shared.method)), settings, "cam.losses")


def _note(options: TrainCamOptions, context: _Context) -> None:
    """Write the resolved options; refuse a run that was started with others."""
    tree = options.tree
    path = context.out / CONFIG
    if path.is_file():
        refuse_earlier_run(context.out)
        before = {key: value for key, value in read_yaml(path).items() if key in tree}  # `run` writes all sections
        check_same(context.out, before, tree)
    else:
        write_text(path, yaml.safe_dump({**tree, **options.later}, sort_keys=False, allow_unicode=True))
    write_json(context.out / ENVIRONMENT, environment(context.processes))


def _start(options: TrainCamOptions, context: _Context) -> Path | None:
    """Find the run to start from, or train it; None starts from the backbone."""
    start = options.cam.init.start
    if start == "none":
        return None
    if start != "cam":
        check_start(Path(start), context.card)
        return Path(start)
    plain = TrainCamOptions(
        options.shared.model_copy(update={"method": "cam"}),
        options.cam.model_copy(update={"losses": {"method": "cam"}, "train": options.cam.first_train}),
    )
    first = replace(context, out=context.out / INIT)
    _train(plain, first, None, None)
    return first.out


def _train(options: TrainCamOptions, context: _Context, start: Path | None, teacher: Teacher | None) -> TrainCamReport:
    network = _network(options, context, start)
    network.demonstration = _demonstration(context.card, teacher) or network.demonstration
    labels, source = options.cam.labels, _source(options, context)
    data = _data(options, context, network, source)
    task = CamTask(
        network,
        _method(options),
        teacher,
        augment=Augment(data.options),
        head_factor=options.cam.network.head_factor,
        head_losses=options.cam.network.side.loss_weights,
        glass=options.shared.judge.glass == "hide",
        published_pixels=options.shared.judge.published_pixels,
        slides=Slides(labels.together, labels.sharpness) if labels.of == "slide" else None,
    )
    pictures = MapPictures(open_dataset(context.card, context.root, options.shared.split, masks=False), network)
    out = context.out / CAM
    load = teacher.planner(collate_windows) if teacher else Planner(collate_windows)
    result = fit(
        task,
        data,
        options.cam.train,
        out,
        processes=context.processes,
        collate=load,
        callbacks=[pictures],
        groups=Groups(tuple(r.slide for r in source.records), labels.together) if labels.of == "slide" else None,
    )
    context.processes.on_leader(lambda: _save(network, _weights(options, context, start, result), out))
    judge = teacher.judge.card.id if teacher else None
    notes = [*network.notes, *_judge_notes(options, context, teacher)]
    return _report(options, context, result, judge=judge, images=len(data), notes=notes)


def _judge_notes(options: TrainCamOptions, context: _Context, teacher: Teacher | None) -> list[str]:
    """Say it where the judge has another precision than its options ask for."""
    asked, used = options.shared.judge.dtype, judge_dtype(options.shared, context.processes.device.type)
    return [CPU_NOTE] if teacher is not None and used != asked else []


def _demonstration(card: Card, teacher: Teacher | None) -> str:
    """Return the made-up material that a training learns from, directly or from its judge; empty for real images."""
    known = teacher.judge.card.demonstration if teacher else ""
    return card.demonstration or (f"a judge that knows only {known}" if known else "")


def _network(options: TrainCamOptions, context: _Context, start: Path | None) -> CamNet:
    network = options.cam.network
    with preserved_random_state():
        seed_all(options.cam.train.seed, NETWORK)
        return CamNet(
            network.backbone,
            context.card.names,
            stride=network.stride,
            dilated=network.dilated,
            weights=start or network.weights,
            freeze_stem=network.freeze_stem,
            side=network.side.spec,
        )


def _weights(options: TrainCamOptions, context: _Context, start: Path | None, result: FitResult) -> State:
    """Load the trained weights, averaged with the starting ones by `cam.init.keep`."""
    after = load_file(result.best or result.weights)
    keep = options.cam.init.keep
    if start is None or not keep:
        return after
    return interpolate(after, _network(options, context, start).state_dict(), keep)


def _save(network: CamNet, weights: State, out: Path) -> None:
    network.load_state_dict(weights)
    network.save(out)


def _report(
    options: TrainCamOptions,
    context: _Context,
    result: FitResult,
    *,
    judge: str | None,
    images: int,
    notes: Sequence[str],
) -> TrainCamReport:
    areas = {name: result.means[f"area/{name}"] for name in context.card.names if f"area/{name}" in result.means}
    return TrainCamReport(
        run=str(context.out),
        method=options.shared.method,
        judge=judge,
        images=images,
        epochs=result.epochs,
        steps=result.steps,
        over=result.over,
        losses=result.means,
        lost=tuple(name for name, area in areas.items() if area < LOST),
        precision=result.precision,
        images_per_s=result.images_per_s,
        notes=tuple(notes),
    )


def _source(options: TrainCamOptions, context: _Context) -> SegmentationDataset:
    source = open_dataset(context.card, context.root, options.shared.split, masks=False)
    if options.cam.labels.of == "slide":
        source.records = with_slide_labels(source.records)
    return source


def _data(options: TrainCamOptions, context: _Context, network: CamNet, source: SegmentationDataset) -> Windows:
    kept = open_kept(context.out / CAM, len(source), partial(first_size, source), context.processes)
    return Windows(source, _augmentation(options.cam.augment, network), kept)


def _augmentation(options: AugmentOptions, network: CamNet) -> Augmentation:
    if options.style == "published":
        colour = tuple(network.backbone.mean.flatten().tolist())  # zero after normalisation
        return Augmentation(options.size, colour, long=options.long)
    return augmentation_for(options.size, tissue=options.style == "tissue", zoom=options.zoom, jitter=options.stain)


def _teacher(options: TrainCamOptions, context: _Context) -> Teacher:
    judging = options.shared.judge
    data = open_dataset(context.card, context.root, options.shared.split, masks=False)
    judge = load_judge(
        judge_id(options.shared),
        revision=judging.revision,
        device=str(context.processes.device),
        dtype=judge_dtype(options.shared, context.processes.device.type),
        mode=judging.mode,
        fill=judging.fill,
        published_pixels=judging.published_pixels,
    )
    check_width(judge)
    words = load_words(options.shared.words, judge, data, context.corpus, seed=options.cam.train.seed)
    means = mean_embeddings(judge, words, _images(data)) if judging.centred else None
    judge.recompute(judging.recompute, views=2 * judging.chunk)
    return Teacher(
        judge,
        words,
        means=means,
        pixels=_window(judging, judge, context.card),
        turned=judging.turned,
        corners=judging.published_pixels or judging.mode in CORNERS,
        chunk=judging.chunk,
    )


def _images(data: SegmentationDataset) -> Iterator[Tensor]:
    """Yield images spread over the data, about 256 of them."""
    step = max(1, len(data) // 256)
    return (data[index].image for index in range(0, len(data), step))


def _window(options: JudgeOptions, judge: FrozenJudge, card: Card) -> int | None:
    """Return the side in pixels of the window that the judge sees; None shows the whole image."""
    if options.scale == "fit" or (options.scale == "auto" and (card.mpp is None or judge.card.mpp is None)):
        return None
    if card.mpp is None or judge.card.mpp is None:
        whose = "data set" if card.mpp is None else "judge"
        raise UsageError(f"The {whose} does not say its pixel size, so judge.scale cannot be own. Set judge.scale=fit.")
    return max(8, round(judge.card.input_size * judge.card.mpp / card.mpp))
