"""Training of a small judge from image-level labels and captions alone; a mask is never opened."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from qaclims_path.data.augmentation import Augment
from qaclims_path.data.card import Card
from qaclims_path.data.decoded import first_size
from qaclims_path.data.record import Record
from qaclims_path.data.windows import Windows
from qaclims_path.engine.distributed import launch
from qaclims_path.engine.kept import open_kept
from qaclims_path.engine.loop import FitResult, fit
from qaclims_path.engine.settings import RunSettings, TrainOptions
from qaclims_path.files.progress import track
from qaclims_path.language.captions import Captioner
from qaclims_path.language.lexicon import Lexicon, load_lexicon
from qaclims_path.language.questions import QuestionBank, load_bank
from qaclims_path.models.judges.small import Shape, build, configuration, learn_vocabulary, save
from qaclims_path.pipeline.judge.images import training_images
from qaclims_path.pipeline.judge.options import JudgeTrainOptions
from qaclims_path.pipeline.judge.plan import Planner
from qaclims_path.pipeline.judge.squares import Shrunk, augmentation_of
from qaclims_path.pipeline.judge.task import Colours, JudgeTask

TRAINING = "training"  # folder of checkpoints and logs
MEASURED = 64  # images whose colours are measured


@dataclass(frozen=True)
class JudgeTrainReport:
    """A judge that was trained.

    Attributes:
        out: Folder of the judge, for `qaclims judge show OUT`.
        images: Images that were trained on.
        left_out: Images without any class.
        alone: Images with one class only, per class; regions are learned from these.
        parameters: Parameters of both towers.
        losses: Means over the last epoch.
    """

    out: str
    dataset: str
    split: str
    images: int
    left_out: int
    alone: dict[str, int]
    parameters: int
    epochs: int
    losses: dict[str, float]
    warning: str


def train_judge(
    card: Card,
    root: Path,
    out: Path,
    *,
    options: JudgeTrainOptions = JudgeTrainOptions(),  # noqa: B008 - frozen
    split: str | None = None,
    image_weights: Path | None = None,
    running: RunSettings = RunSettings(),  # noqa: B008 - frozen
) -> JudgeTrainReport:
    """Train a small judge, or resume a training that was stopped.

    Args:
        card: Facts about the data set.
        root: Folder of the data.
        out: Folder of the judge, in open_clip's format.
        options: Options of the judge and its training.
        split: Name of a split; the first for training whose labels do not come from masks, when None.
        image_weights: Initial weights of the image tower, as timm saves them (safetensors).
        running: Devices, precision, workers.

    Examples:
        >>> train_judge(load_card("phantom"), Path("phantom"), Path("judge")).images  # doctest: +SKIP
        240
    """
    processes = launch(running)
    split, listed, records = training_images(card, root, split)
    bank = load_bank(options.questions or ("natural" if card.domain == "natural" else "histology"), card.organ)
    lexicon = load_lexicon(bank.lexicon) if bank.lexicon else None
    captioner = Captioner(card, bank, lexicon)
    shape = Shape(size=options.size, width=options.width, tower=options.tower)
    tokenizer = learn_vocabulary(_all_words(captioner, bank, lexicon), shape)
    colours = measure_colours(records, options.seed)
    config = configuration(shape, len(tokenizer), *colours)
    network = build(config, seed=options.seed, image_weights=image_weights)
    source = Shrunk(records, len(card.names), options.size)
    kept = open_kept(out / TRAINING, len(source), partial(first_size, source), processes)
    windows = Windows(source, augmentation_of(options.size, tissue=card.domain != "natural"), kept)
    task = JudgeTask(network, Augment(windows.options), len(card.names), colours)
    planner = Planner(captioner, card.names, tokenizer, network.context_length, options.size)
    training = _train_options(options, len(records))
    result = fit(task, windows, training, out / TRAINING, processes=processes, collate=planner)
    network.load_state_dict(load_file(result.weights))
    notes = _notes(card, split, records, options)
    processes.on_leader(lambda: save(out, network, config, tokenizer, notes))
    parameters = sum(value.numel() for value in network.parameters())
    return _report(card, split, listed, records, out, parameters, result, str(notes["warning"]))


def measure_colours(records: Sequence[Record], seed: int) -> Colours:
    """Measure mean and standard deviation of red, green and blue in 0..1, over some of the images."""
    chosen = random.Random(seed).sample(list(records), min(MEASURED, len(records)))  # noqa: S311 - a choice of images
    pixels = [record.image.pixels()[::4, ::4].reshape(-1, 3) / 255 for record in track(chosen, "measuring colours")]
    values = np.concatenate(pixels)
    means, deviations = values.mean(0), values.std(0).clip(min=0.01)
    return _triple(means), _triple(deviations)


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 4) for value in values)
    return red, green, blue


def _all_words(captioner: Captioner, bank: QuestionBank, lexicon: Lexicon | None) -> list[str]:
    """Collect the texts of the vocabulary: those of captions, and those that answers may hold."""
    phrases = [phrase for kinds in captioner.phrases.values() for group in kinds.values() for phrase in group]
    terms = [term.term for term in lexicon] if lexicon else []
    return [*phrases, *terms, *captioner.sentences, *(question.text for question in bank.questions)]


def _train_options(options: JudgeTrainOptions, images: int) -> TrainOptions:
    batch = min(options.batch, images)
    steps = options.epochs * (images // batch)
    return TrainOptions(
        epochs=options.epochs,
        batch=batch,
        optimizer="adamw",
        lr=options.lr,
        weight_decay=options.weight_decay,
        schedule="cosine",
        warmup=min(20, steps // 10),
        clip=1.0,
        seed=options.seed,
    )


def _notes(card: Card, split: str, records: Sequence[Record], options: JudgeTrainOptions) -> dict[str, object]:
    """Return notes for the card of the judge."""
    width, height = records[0].image.size()
    mpp = None if card.mpp is None else round(card.mpp * max(width, height) / options.size, 4)
    patients = len({record.patient for record in records if record.patient})
    sources = f" of {patients} patients" if patients else ""
    return {
        "mpp": mpp,
        "trained_on": (
            f"{len(records)} images{sources} of '{split}' of {card.title}: their image-level labels "
            f"({', '.join(card.names)}) and captions made from the card and the lexicon, no mask; "
            f"{options.epochs} epochs, seed {options.seed}."
        ),
        "warning": (
            f"A small judge for trying things out, trained from scratch on {card.name} alone. What it says of other "
            "images, or of anything but these classes, means nothing."
        ),
        **({"demonstration": card.demonstration} if card.demonstration else {}),
    }


def _report(
    card: Card,
    split: str,
    listed: Sequence[Record],
    records: Sequence[Record],
    out: Path,
    parameters: int,
    result: FitResult,
    warning: str,
) -> JudgeTrainReport:
    labels = [record.present for record in records if not record.unknown]
    alone = {name: labels.count((c,)) for c, name in enumerate(card.names)}
    return JudgeTrainReport(
        out=str(out),
        dataset=card.name,
        split=split,
        images=len(records),
        left_out=len(listed) - len(records),
        alone=alone,
        parameters=parameters,
        epochs=result.epochs,
        losses=result.means,
        warning=warning,
    )
