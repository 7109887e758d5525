"""Training activation maps: one recipe for every method, from plain maps to language on tissue."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file
from torch import Tensor

from qaclims_path.config import read_yaml
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import SegmentationDataset, Transform, collate, open_dataset
from qaclims_path.data.published_augmentation import published_augmentation
from qaclims_path.data.transforms import augment
from qaclims_path.engine.distributed import Processes, launch
from qaclims_path.engine.environment import environment
from qaclims_path.engine.loop import FitResult, fit
from qaclims_path.engine.seeds import preserved_random_state, seed_all
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import UsageError
from qaclims_path.files.atomic import write_json, write_text
from qaclims_path.files.made_with import check_same
from qaclims_path.models.camnet import CamNet, read_settings
from qaclims_path.models.judges import load_judge
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.models.methods import build_method
from qaclims_path.models.weights import State, interpolate
from qaclims_path.pipeline.cam.options import AugmentOptions, TrainCamOptions
from qaclims_path.pipeline.cam.pictures import MapPictures
from qaclims_path.pipeline.cam.task import CamTask
from qaclims_path.pipeline.cam.teacher import Teacher, measure_space
from qaclims_path.pipeline.cam.words import check_width, load_words
from qaclims_path.pipeline.configs import CONFIG, JudgeOptions, refuse_earlier_run

ENVIRONMENT, CAM, INIT = "environment.json", "cam", "init"
CORNERS = "published", "mask-prompt"  # modes of regions that follow the released code
LOST = 0.01  # share of the image below which a class that is there has been lost
NETWORK = 4  # stream of random numbers, beside those of the engine


@dataclass(frozen=True)
class TrainCamReport:
    """How a training went.

    Attributes:
        run: Folder of the run; the network is in `cam/` of it.
        method: As it is called in tables.
        judge: Id of the judge, where there was one.
        images: That were trained on.
        epochs: Done.
        steps: Done.
        over: `done`, or `early`.
        losses: Mean of everything that was logged, over the last epoch.
        lost: Classes that hardly cover anything any more where they are present.
        precision: Of the arithmetic.
        images_per_s: Over all processes.
        notes: What there is to say about initial weights.
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
class _Place:
    """Where a training reads and writes."""

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
    """Train activation maps, or go on with a training that was stopped.

    Args:
        options: See `cam.options.load_options`.
        root: The data as its publisher lays it out.
        out: Folder of the run.
        corpus: Answers, for methods that learn from them.
        running: Devices, precision, workers.

    Examples:
        >>> train_cam(load_options("bcss-wsss/cam"), Path("BCSS-WSSS"), Path("run"))  # doctest: +SKIP
    """
    processes = launch(running)
    place = _Place(load_card(options.shared.dataset), root, out, corpus, processes)
    processes.on_leader(lambda: _note(options, place))
    teacher = _teacher(options, place) if _method(options).needs_judge(1.0) else None  # before anything that takes long
    start = _start(options, place)
    return _train(options, place, start, teacher)


def _method(options: TrainCamOptions) -> Any:  # noqa: ANN401 - a Method
    settings = {key: value for key, value in options.cam.losses.items() if key != "method"}
    return build_method(str(options.cam.losses.get("method", options.shared.method)), settings, "cam.losses")


def _note(options: TrainCamOptions, place: _Place) -> None:
    """Write down the resolved options, or refuse to go on with others."""
    tree = options.tree
    path = place.out / CONFIG
    if path.is_file():
        refuse_earlier_run(place.out)
        before = {key: value for key, value in read_yaml(path).items() if key in tree}  # `run` writes all sections
        check_same(place.out, before, tree)
    else:
        write_text(path, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
    write_json(place.out / ENVIRONMENT, environment(place.processes))


def _start(options: TrainCamOptions, place: _Place) -> Path | None:
    """The run to start from, trained first where that is asked for; None starts from the backbone."""
    start = options.cam.init.start
    if start == "none":
        return None
    if start != "cam":
        run = Path(start)
        classes = tuple(read_settings(run / CAM if (run / CAM).is_dir() else run)["classes"])
        if classes != place.card.names:
            raise UsageError(
                f"{start} was trained for the classes {', '.join(classes)}, not {', '.join(place.card.names)}. "
                "Start from a run on this data set, or train one: --set cam.init.start=cam."
            )
        return run
    plain = TrainCamOptions(
        options.shared.model_copy(update={"method": "cam"}),
        options.cam.model_copy(update={"losses": {"method": "cam"}, "train": options.cam.first_train}),
    )
    first = replace(place, out=place.out / INIT)
    _train(plain, first, None, None)
    return first.out


def _train(options: TrainCamOptions, place: _Place, start: Path | None, teacher: Teacher | None) -> TrainCamReport:
    network = _network(options, place, start)
    data = _data(options, place, network)
    task = CamTask(
        network,
        _method(options),
        teacher,
        head_factor=options.cam.network.head_factor,
        glass=options.shared.judge.glass == "hide",
        published_pixels=options.shared.judge.published_pixels,
    )
    pictures = MapPictures(open_dataset(place.card, place.root, options.shared.split, masks=False), network)
    out = place.out / CAM
    result = fit(task, data, options.cam.train, out, processes=place.processes, collate=collate, callbacks=[pictures])
    place.processes.on_leader(lambda: _save(network, _weights(options, place, start, result), out))
    judge = teacher.judge.card.id if teacher else None
    return _report(options, place, result, judge=judge, images=len(data), notes=network.notes)


def _network(options: TrainCamOptions, place: _Place, start: Path | None) -> CamNet:
    network = options.cam.network
    with preserved_random_state():
        seed_all(options.cam.train.seed, NETWORK)
        return CamNet(
            network.backbone,
            place.card.names,
            stride=network.stride,
            dilated=network.dilated,
            weights=start or network.weights,
            freeze_stem=network.freeze_stem,
        )


def _weights(options: TrainCamOptions, place: _Place, start: Path | None, result: FitResult) -> State:
    """What was learnt, on the way back to what it began with as far as `cam.init.keep` says."""
    after = load_file(result.best or result.weights)
    keep = options.cam.init.keep
    if start is None or not keep:
        return after
    return interpolate(after, _network(options, place, start).state_dict(), keep)


def _save(network: CamNet, weights: State, out: Path) -> None:
    network.load_state_dict(weights)
    network.save(out)


def _report(
    options: TrainCamOptions,
    place: _Place,
    result: FitResult,
    *,
    judge: str | None,
    images: int,
    notes: Sequence[str],
) -> TrainCamReport:
    areas = {name: result.means[f"area/{name}"] for name in place.card.names if f"area/{name}" in result.means}
    return TrainCamReport(
        run=str(place.out),
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


def _data(options: TrainCamOptions, place: _Place, network: CamNet) -> SegmentationDataset:
    colour = tuple(network.backbone.mean.flatten().tolist())
    transform = _transform(options.cam.augment, options.cam.train.seed, colour)
    return open_dataset(place.card, place.root, options.shared.split, transform=transform, masks=False)


def _transform(options: AugmentOptions, seed: int, colour: tuple[float, ...]) -> Transform:
    if options.style == "published":
        return published_augmentation(options.size, seed, options.long, colour)
    return augment(options.size, seed, tissue=options.style == "tissue", zoom=options.zoom, jitter=options.stain)


def _teacher(options: TrainCamOptions, place: _Place) -> Teacher:
    asked = options.shared.judge
    if asked.id is None:
        raise UsageError(
            f"The method '{options.shared.method}' needs a judge. Name one with --set judge.id=ID (see `qaclims judge "
            "show`), or make one for this data set with `qaclims judge train`."
        )
    data = open_dataset(place.card, place.root, options.shared.split, masks=False)
    judge = load_judge(
        asked.id,
        revision=asked.revision,
        device=str(place.processes.device),
        dtype=asked.dtype,
        mode=asked.mode,
        fill=asked.fill,
        published_pixels=asked.published_pixels,
    )
    check_width(judge)
    words = load_words(options.shared.words, judge, data, place.corpus, seed=options.cam.train.seed)
    space = measure_space(judge, words, _images(data)) if asked.centred else None
    return Teacher(
        judge,
        words,
        space=space,
        pixels=_window(asked, judge, place.card),
        turned=asked.turned,
        corners=asked.published_pixels or asked.mode in CORNERS,
        chunk=asked.chunk,
    )


def _images(data: SegmentationDataset) -> Iterator[Tensor]:
    """Images spread over the data."""
    step = max(1, len(data) // 256)
    return (data[place].image for place in range(0, len(data), step))


def _window(options: JudgeOptions, judge: FrozenJudge, card: Card) -> int | None:
    """Side of what the judge is shown, in pixels of the image; None shows all of it."""
    if options.scale == "fit" or (options.scale == "auto" and (card.mpp is None or judge.card.mpp is None)):
        return None
    if card.mpp is None or judge.card.mpp is None:
        whose = "data set" if card.mpp is None else "judge"
        raise UsageError(f"The {whose} does not say its pixel size, so judge.scale cannot be own. Set judge.scale=fit.")
    return max(8, round(judge.card.input_size * judge.card.mpp / card.mpp))
