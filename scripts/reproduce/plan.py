"""The runs: data sets, rows, their recipes and settings, and estimates of their duration."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from qaclims_path.compute.devices import Precision
from qaclims_path.config import read_yaml, settings_of
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.inference import for_inference
from qaclims_path.pipeline.run.options import RunOptions, load_run
from qaclims_path.pipeline.run.stages import STAGES
from reproduce.phantom import tiles_of

HERE = Path(__file__).resolve().parent
START, BASE = "start", "cam+"
CONTROLS = "silent", "names", "shuffled", "control"  # rows without the language of the method
ROWS = (
    START, "cam", BASE, "silent", "names", "shuffled", "clims", "qa-clims", "qa-clims-path", "control", "supervised",
)  # fmt: skip
ABLATED = "qa-clims-path"
ABLATION: dict[str, str] = read_yaml(HERE / "ablation.yaml")  # setting by row: each changes one part of the method
WORDLESS = START, "cam", BASE, "silent", "supervised"  # rows that ask no judge
PLAIN = START, "cam", "supervised"  # rows of the method cam, which has no settings about words
OF_WORDS = "cam.losses.", "words.", "judge.", "corpus."
RETRIEVAL = "retrieval"
MODELS = {"blip": "Salesforce/blip-vqa-base"}  # default models of answerers
WEIGHTS = "weights/mobilenetv2_100.imagenet.safetensors"
QUICK = (
    "cam.train.epochs=1", "seg.train.epochs=1", "cams.scales=[1.0]", "masks.rounds=1", "cam.augment.size=64",
    "cam.augment.long=[64,96]", "seg.augment.size=64", "cam.train.batch=4", "seg.train.batch=4",
)  # fmt: skip


@dataclass(frozen=True)
class Set:
    """One data set.

    Attributes:
        name: Name on the command line.
        title: Title in tables.
        folder: Folder below the data folder, or where the script paints it.
        recipes: Folder of its recipes.
        card: Name of its card.
        headline: Classes that are averaged.
        judge: `trained` here from image-level labels, or that of its recipes: `embedded`, or the `bridge`.
        taught: Name of the card of its judge's training data, where that is more than the set itself.
        method: The row that is compared with the controls.
        painted: Whether the script paints it.
    """

    name: str
    title: str
    folder: str
    recipes: str
    card: str
    headline: tuple[str, ...]
    judge: Literal["trained", "embedded", "bridge"]
    taught: str = ""
    method: str = "qa-clims-path"
    painted: bool = False


SETS = {
    each.name: each
    for each in (
        Set("phantom", "Phantom tiles of held-out slides; the judge has seen slides of the same generator", "data",
            "phantom", "phantom-ceiling", ("tumor", "stroma", "lymphocyte", "necrosis"), judge="embedded",
            painted=True),
        Set("wsss4luad", "WSSS4LUAD patches, tumor and stroma", "wsss4luad", "wsss4luad",
            "wsss4luad-ceiling", ("tumor", "stroma"), judge="trained"),
        Set("glas", "GlaS patches", "glas", "glas",
            "glas-patches", ("benign_gland", "malignant_gland", "background"), judge="trained", taught="glands"),
        Set("voc", "VOC 2012 animal subset", "voc2012", "voc-animals",
            "voc2012-animals", ("cat", "cow", "dog", "horse", "person", "sheep", "background"), judge="bridge",
            method="qa-clims"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Options of the command line.

    Attributes:
        data: Folder with the data sets and `weights/`.
        out: Folder of all results.
        judge: Replaces the judges that are available offline.
        answerer: Kind, and a model other than the default: `retrieval`, `blip`, `blip:ID`.
        settings: Settings of every row.
        quick: Train one epoch, to test that everything runs.
        precision: Precision of all trainings.
    """

    data: Path
    out: Path
    judge: str | None = None
    answerer: str = RETRIEVAL
    settings: tuple[str, ...] = ()
    quick: bool = False
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Job:
    """One run: a row of a set with a seed."""

    plan: Plan
    of: Set
    row: str
    seed: int

    @property
    def out(self) -> Path:
        """Folder of the run."""
        return self.plan.out / self.of.name / self.row / f"seed{self.seed}"

    @property
    def root(self) -> Path:
        """Folder of the data."""
        return (self.plan.out / self.of.name if self.of.painted else self.plan.data) / self.of.folder

    @property
    def card(self) -> Path:
        """File of the card."""
        return HERE / "cards" / f"{self.of.card}.yaml"

    @property
    def lesson(self) -> tuple[Path, Path]:
        """Training data of the judge: file of the card, and folder."""
        if not self.of.taught:
            return self.card, self.root
        return HERE / "cards" / f"{self.of.taught}.yaml", self.plan.out / self.of.name / "lesson"

    @property
    def start(self) -> Path:
        """Folder of the network that the row starts from."""
        return Job(self.plan, self.of, START, self.seed).out / "cam"

    @property
    def judge_folder(self) -> Path:
        """Folder of the judge that is trained here."""
        return self.plan.out / self.of.name / "judge"

    def options(self) -> RunOptions:
        """The recipe with the settings of the command line and the seed."""
        return load_run(recipe_of(self.of, self.row), self._settings())

    def _settings(self) -> list[str]:
        plan = self.plan
        found: dict[str, object] = {"seed": self.seed}
        found["cam.network.weights"] = str(plan.data / WEIGHTS)
        if self.row not in (START, "supervised"):
            found["cam.init.start"] = str(self.start)
        judge = plan.judge or (str(self.judge_folder) if self.of.judge == "trained" else None)
        if judge and self.row not in (*WORDLESS, "control"):  # other rows do not wait for it
            found["judge.id"] = judge
            if self.of.judge == "bridge":  # its texts are centred already, and it only knows names of objects
                found |= {"judge.centred": True, "corpus.lexicon": "natural"}
        kind, _, model = plan.answerer.partition(":")
        if kind != RETRIEVAL:
            found |= {"corpus.lexicon": "none", "corpus.judge": None}  # answers are not filtered
            found["corpus.answerer"] = {"kind": kind, "model": model or MODELS.get(kind)}
        more = [each for each in plan.settings if self.row not in PLAIN or not each.startswith(OF_WORDS)]
        part = [ABLATION[self.row]] if self.row in ABLATION else []
        return [*settings_of(found), *(QUICK if plan.quick else ()), *part, *more]


def recipe_of(of: Set, row: str) -> Path:
    """The recipe of a row, as a path relative to the repository."""
    name = ABLATED if row in ABLATION else row
    return (HERE / "recipes" / of.recipes / f"{name}.yaml").relative_to(HERE.parents[1])


def rows_of(of: Set) -> list[str]:
    """Rows that a set has a recipe for."""
    return [row for row in ROWS if (HERE / "recipes" / of.recipes / f"{row}.yaml").is_file()]


def changes_nothing(job: Job) -> bool:
    """Whether a row of the ablation equals the recipe of the set."""
    return job.row in ABLATION and job.options().tree == replace(job, row=ABLATED).options().tree


def spent(run: Path) -> tuple[float, float] | None:
    """Seconds and peak memory (MiB) of a run; None where it has not begun."""
    path = run / STAGES
    if not path.is_file():
        return None
    stages = json.loads(path.read_text(encoding="utf-8")).values()
    return sum(each["seconds"] for each in stages), max((each["peak_mib"] for each in stages), default=0.0)


def seconds_per_pass(precision: Precision) -> float:
    """Seconds of the backbone for one image of 224 px, measured now."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = for_inference(CamNet("mobilenetv2_100", ("a", "b"), weights="none"), device, precision)
    images = torch.rand(4, 3, 224, 224, device=device)
    with torch.inference_mode():
        net(images)
        start = time.perf_counter()
        for _ in range(3):
            net(images).maps.sum().item()
    return (time.perf_counter() - start) / 12


def estimate(job: Job, one_pass: float) -> float:
    """Estimate the seconds of a run: those of another seed of its row, else counted in forward passes of an image.

    A training step is 3.5 passes, a segmenter's 5; the judge encodes two regions of an image, with gradients, at half
    the size; maps are made of images and their mirror images; refining an image is two passes.
    """
    done = [spent(path) for path in job.out.parent.glob("seed*") if (path / "counts.npz").is_file()]
    if known := [each[0] for each in done if each]:
        return sum(known) / len(known)
    options = job.options()
    images = {split: _images(job, split) for split in ("val", _split(options))}
    passes = {split: count * each for split, (count, each) in images.items()}
    learnt = images[_split(options)][0]
    total = 5.0 * learnt * options.seg.train.epochs * (options.seg.augment.size / 224) ** 2 + 2 * passes["val"]
    if not options.seg.truth:
        with_judge = 4.0 if options.cam.losses["method"] != "cam" and job.row != BASE else 0.0
        each = 3.5 * (options.cam.augment.size / 224) ** 2 + with_judge
        total += learnt * options.cam.train.epochs * each
        total += sum(passes.values()) * (2 + 2 * sum(scale**2 for scale in options.cams.scales))
    return total * one_pass


def _split(options: RunOptions) -> str:
    return options.seg.split if options.seg.truth else options.shared.split


def _images(job: Job, split: str) -> tuple[int, float]:
    """Number of images of a split, and passes of 224 px per image; painted sets need not exist yet."""
    if job.of.painted:
        return tiles_of(split, quick=job.plan.quick), 1.0
    records = list_records(load_card(job.card), job.root, split)
    return len(records), _passes(records[0].image.size()) if records else 0.0


def _passes(size: tuple[int, int]) -> float:
    return size[0] * size[1] / 224**2
