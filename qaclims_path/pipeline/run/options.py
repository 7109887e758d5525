"""Options of a whole run: the sections of a recipe, parsed by the models of their stages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.config import Options, Origin, Settings, Tree, check_part, flat, parse, settings_of
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.errors import BadConfig, NotRegistered, SplitAbsent
from qaclims_path.models.methods import METHODS, settings_model
from qaclims_path.models.refiners import REFINERS
from qaclims_path.models.segmenters import SEGMENTERS
from qaclims_path.models.segmenters.crf import NONE, Crf
from qaclims_path.pipeline.cam.map_options import Grid
from qaclims_path.pipeline.cam.options import CamOptions, TrainCamOptions, cam_options
from qaclims_path.pipeline.configs import (
    AUTO,
    CONFIG,
    Recipe,
    SharedOptions,
    published_keys,
    read_recipe,
    read_run_config,
    with_seed,
    without_seed,
)
from qaclims_path.pipeline.corpus.options import CorpusOptions, load_corpus_options
from qaclims_path.pipeline.masks.options import BOUNDARY, BoundaryOptions, MaskOptions, boundary_options
from qaclims_path.pipeline.segmenter.options import TrainSegOptions, seg_options
from qaclims_path.registry import suggest

What = Literal["cams", "masks", "seg"]
PREDICTING = "scales", "flip", "average", "crf", "window"  # keys of `evaluate` that decide predictions


class CamsSection(Options):
    """Making of maps.

    Attributes:
        scales: Scales of the image, each with its mirror image.
        gate: Classes that maps of scored splits may show: `none` allows all, `oracle` the present ones; `auto` is
            `none` for tissue and `oracle`, as published, for photographs.
        grid: Maps that are scored, `points`, or `cells` as released; see `qaclims cams --help`.
    """

    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (1.0, 0.5, 1.5, 2.0)
    gate: Literal["auto", "none", "oracle"] = "auto"
    grid: Grid = "points"


class EvaluateSection(Options):
    """Predictions and scores.

    Attributes:
        what: Results to score: maps, pseudo masks, segmenter; a run without `seg` trains no segmenter.
        splits: Splits to score, with masks; `auto` takes all of the card that the folder of the data has.
        protocol: The card's first protocol when None.
        scales: Scales of the image for the segmenter.
        flip: Average predictions with those of the mirror image.
        average: What is averaged, `probabilities` or `logits`; see `qaclims predict --help`.
        crf: Dense CRF on the probabilities, such as `deeplabv2`; see `qaclims predict --help`.
        window: Side in pixels of half-overlapping windows over larger images; None predicts images whole.
    """

    what: Annotated[tuple[What, ...], Field(min_length=1)] = ("cams", "masks", "seg")
    splits: tuple[str, ...] = ("val",)
    protocol: str | None = None
    scales: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    flip: bool = False
    average: Literal["probabilities", "logits"] = "probabilities"
    crf: Crf = NONE
    window: Annotated[int, Field(ge=32)] | None = None


SECTIONS: dict[str, type[Options]] = {
    "corpus": CorpusOptions,
    "cam.init.train": TrainOptions,  # before `cam`, which checks it, too, but does not name the file
    "cam": CamOptions,
    "cams": CamsSection,
    "masks": MaskOptions,
    f"masks.{BOUNDARY}": BoundaryOptions,
    "seg": TrainSegOptions,
    "evaluate": EvaluateSection,
}


@dataclass(frozen=True)
class RunOptions:
    """All options of a run.

    Attributes:
        recipe: Name or path of the recipe, for stages that start a command.
        settings: Overrides of the recipe, for the same.
        shared: The top keys of the recipe.
        corpus_config: Name or path of the corpus configuration.
        corpus: Options of the corpus; None if the words are not answers, or the recipe names no configuration.
        cam: The section `cam`.
        cams: The section `cams`.
        masks: The section `masks`, without `boundary`.
        boundary: The section `masks.boundary`; None if the refiner needs no boundary network.
        seg: The section `seg`.
        evaluate: The section `evaluate`.
    """

    recipe: str
    settings: tuple[str, ...]
    shared: SharedOptions
    corpus_config: str
    corpus: CorpusOptions | None
    cam: CamOptions
    cams: CamsSection
    masks: MaskOptions
    boundary: BoundaryOptions | None
    seg: TrainSegOptions
    evaluate: EvaluateSection

    @property
    def training_of_maps(self) -> TrainCamOptions:
        """Options of the training of maps; a published one keeps the sections of the stages after it."""
        return TrainCamOptions(self.shared, self.cam, self._later if self.shared.published else {})

    @property
    def tree(self) -> Tree:
        """The resolved recipe, which can be read as a recipe again."""
        tree = {**self.training_of_maps.tree, **self._later}
        tree["seg"] = without_seed(self.seg.tree, self.shared.seed)
        if self.corpus is not None:
            tree["corpus"] = {"config": self.corpus_config, **self.corpus.model_dump(mode="json")}
        return tree

    @property
    def _later(self) -> Tree:
        """The sections of the stages that follow the training of maps and read its folder alone."""
        tree: Tree = {name: getattr(self, name).model_dump(mode="json") for name in ("cams", "masks", "evaluate")}
        if self.boundary is not None:
            tree["masks"][BOUNDARY] = without_seed(self.boundary.model_dump(mode="json"), self.shared.seed)
        return tree


def load_run(recipe: str | Path, settings: Settings = (), root: Path | None = None) -> RunOptions:
    """Read all sections of a recipe, and refuse wrong keys in every one.

    Args:
        recipe: Name or path of the recipe.
        settings: Overrides of it.
        root: Folder of the data, for `evaluate.splits: auto`; None takes all splits that the card has.

    Examples:
        >>> load_run("phantom/cam", ["evaluate.what=[cams]"]).evaluate.what
        ('cams',)
    """
    where, found = read_recipe(recipe, settings)
    cam = cam_options(found, where)
    section = _with_splits(found, root)
    evaluate = parse(EvaluateSection, section, where.part("evaluate"))  # before `seg`, which takes its protocol
    masks = parse(MaskOptions, {key: found.masks[key] for key in found.masks if key != BOUNDARY}, where.part("masks"))
    boundary = _boundary(found, where)
    seg = seg_options(found, cam.network, where)
    _check_names(masks, seg)
    _check_published(recipe)
    return RunOptions(
        recipe=str(recipe),
        settings=where.settings,
        shared=found.shared,
        corpus_config=str(found.corpus.get("config", "")),
        corpus=_corpus(found, where),
        cam=cam,
        cams=parse(CamsSection, found.cams, where.part("cams")),
        masks=masks,
        boundary=boundary if masks.refiner == "irn" else None,
        seg=seg,
        evaluate=evaluate,
    )


def kept_settings(run: Path, section: str) -> Tree:
    """Read what a run begun with `published: true` keeps for a stage that is done by hand.

    Args:
        run: Folder of the run.
        section: Dotted key of the section: `cams`, `masks`, `masks.boundary` or `evaluate`.

    Returns:
        All settings of the section; none for another run, and for a published one that has no such section.

    Examples:
        >>> kept_settings(Path("runs/published"), "cams")["grid"]  # doctest: +SKIP
        'cells'
    """
    path = run / CONFIG
    config = read_run_config(path) if path.is_file() else {}
    own = _part(config, section, str(path)) if config.get("published") is True else {}
    if not own:
        return {}
    if section == f"masks.{BOUNDARY}":
        own = with_seed(own, config.get("seed", 0))
    where = Origin(path, section=section)
    return parse(SECTIONS[section], {key: own[key] for key in own if key != BOUNDARY}, where).model_dump()


def _with_splits(recipe: Recipe, root: Path | None) -> Tree:
    """Return the section `evaluate`, with `auto` replaced by the splits that can be scored."""
    section = recipe.evaluate
    if section.get("splits") != AUTO:
        return section
    card = load_card(recipe.dataset)
    masked = [name for name, split in card.splits.items() if split.supervision == "masks" and split.part != "train"]
    return {**section, "splits": [name for name in masked if root is None or _exists(card, root, name)]}


def _exists(card: Card, root: Path, split: str) -> bool:
    try:
        list_records(card, root, split)
    except SplitAbsent:
        return False
    return True


def _boundary(recipe: Recipe, where: Origin) -> BoundaryOptions:
    own = recipe.masks.get(BOUNDARY) or {}
    if not isinstance(own, dict):
        raise BadConfig(
            f"{where.of(f'masks.{BOUNDARY}')}: 'masks.{BOUNDARY}' should hold `key: value` lines, not {own!r}."
        )
    return boundary_options(own, recipe.split, where.part(f"masks.{BOUNDARY}"), seed=recipe.seed)


def _check_names(masks: MaskOptions, seg: TrainSegOptions) -> None:
    """Look up names that a run needs only after hours."""
    for registry, name in ((REFINERS, masks.refiner), (SEGMENTERS, seg.network.architecture)):
        if name not in registry:
            raise NotRegistered(f"There is no {registry.kind} '{name}'. {suggest(name, list(registry))}")


def _check_published(recipe: str | Path) -> None:
    """Refuse mistakes under `as_published`, also where those keys do not hold."""
    known = [*dict.fromkeys(field for name in METHODS for field in settings_model(name).model_fields)]
    for name, tree in published_keys(recipe):
        check_part(Recipe, tree, name)
        for key, model in SECTIONS.items():
            part = _part(tree, key, name)
            apart = (*SECTIONS, "corpus.config")
            own = {each: value for each, value in part.items() if f"{key}.{each}" not in apart}
            check_part(model, own, f"{name}, {key}")
        for each in _part(tree, "cam.losses", name):
            if each not in (*known, "method"):  # of any method, because the recipe's may be changed
                raise BadConfig(f"{name}, cam.losses: unknown key '{each}'. {suggest(each, known)}")


def _part(tree: Tree, key: str, name: str) -> Tree:
    """Return the keys at a dotted key, none where it is not there."""
    for step in key.split("."):
        tree = tree.get(step) or {}
        if not isinstance(tree, dict):
            raise BadConfig(f"{name}: '{key}' should hold `key: value` lines, not {tree!r}.")
    return tree


def _corpus(recipe: Recipe, where: Origin) -> CorpusOptions | None:
    """Read the corpus configuration, changed by the section; the recipe's judge replaces that of the configuration."""
    own = {key: value for key, value in recipe.corpus.items() if key != "config"}
    here = {"dataset": recipe.dataset, "split": recipe.split}
    if "config" not in recipe.corpus:
        parse(CorpusOptions, {**here, **own}, where.part("corpus"))  # wrong keys are refused where nothing reads them
        return None
    settings = settings_of({**here, **flat(own)})
    found = load_corpus_options(str(recipe.corpus["config"]), settings, where)
    if not recipe.words.need_corpus or recipe.judge.id is None:
        return None
    if (found.judge is not None or found.answerer.kind == "retrieval") and "judge" not in own:
        judge = {"id": recipe.judge.id, "revision": recipe.judge.revision}
        found = parse(CorpusOptions, {**found.model_dump(mode="json"), "judge": judge}, where.part("corpus"))
    return found
