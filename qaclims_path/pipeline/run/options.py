"""Options of a whole run: one recipe file, whose sections belong to its stages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from qaclims_path.config import Options, Tree, flat, parse, settings_of
from qaclims_path.errors import BadConfig, NotRegistered
from qaclims_path.models.refiners import REFINERS
from qaclims_path.models.segmenters import known_segmenters
from qaclims_path.pipeline.cam.options import CamOptions, TrainCamOptions, cam_options
from qaclims_path.pipeline.configs import Recipe, SharedOptions, read_recipe, with_seed, without_seed
from qaclims_path.pipeline.corpus.options import CorpusOptions, load_corpus_options
from qaclims_path.pipeline.masks.boundary import BoundaryOptions
from qaclims_path.pipeline.masks.make import BOUNDARY
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.segmenter.options import TrainSegOptions, seg_options
from qaclims_path.registry import suggest

What = Literal["cams", "masks", "seg"]
FROM_ANSWERS = ("answers", "shuffled")  # sources of words that need a corpus


class CamsSection(Options):
    """How maps are made.

    Attributes:
        scales: Factors at which an image is looked at, with its mirror image.
        gate: Which classes maps of scored splits may show: `none` for all, `oracle` for those that are there; `auto` is
            `none` for tissue and `oracle`, as published, for photographs.
    """

    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (1.0, 0.5, 1.5, 2.0)
    gate: Literal["auto", "none", "oracle"] = "auto"


class EvaluateSection(Options):
    """What is scored.

    Attributes:
        what: Maps, pseudo masks, segmenter; a run without `seg` trains none.
        splits: With masks.
        protocol: The card's first when None.
        scales: Factors at which the segmenter looks at an image.
        flip: Whether it looks at the mirror image, too.
        window: Side of half overlapping squares in which it looks at larger images.
    """

    what: Annotated[tuple[What, ...], Field(min_length=1)] = ("cams", "masks", "seg")
    splits: Annotated[tuple[str, ...], Field(min_length=1)] = ("val",)
    protocol: str | None = None
    scales: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    flip: bool = False
    window: Annotated[int, Field(ge=32)] | None = None


@dataclass(frozen=True)
class RunOptions:
    """All options of a run.

    Attributes:
        recipe: Name or path, and the overrides, for stages that are started as commands of their own.
        settings: Overrides.
        tree: Everything resolved, as `config.yaml` of the run says it.
        shared: The top keys of the recipe.
        corpus: None where no words come from answers.
        boundary: None where the refiner needs none.
    """

    recipe: str
    settings: tuple[str, ...]
    tree: Tree
    shared: SharedOptions
    corpus: CorpusOptions | None
    cam: CamOptions
    cams: CamsSection
    masks: MaskOptions
    boundary: BoundaryOptions | None
    seg: TrainSegOptions
    evaluate: EvaluateSection

    @property
    def training_of_maps(self) -> TrainCamOptions:
        """All that the training of maps reads."""
        return TrainCamOptions(self.shared, self.cam)


def load_run(recipe: str | Path, settings: Sequence[str] = ()) -> RunOptions:
    """Read a recipe with all its sections.

    Example:
        >>> load_run("phantom/cam", ["evaluate.what=[cams]"]).evaluate.what
        ('cams',)
    """
    path, found = read_recipe(recipe, settings)
    cam = cam_options(found, path)
    masks = parse(MaskOptions, {key: found.masks[key] for key in found.masks if key != BOUNDARY}, f"{path}, masks")
    boundary = _boundary(found, path)
    seg = seg_options(found, cam.network, path)
    _check_names(masks, seg)
    asked = found.words.source in FROM_ANSWERS and found.judge.id is not None
    options = RunOptions(
        recipe=str(recipe),
        settings=tuple(settings),
        tree={},
        shared=found.shared,
        corpus=_corpus(found, path) if asked else None,
        cam=cam,
        cams=parse(CamsSection, found.cams, f"{path}, cams"),
        masks=masks,
        boundary=boundary if masks.refiner == "irn" else None,
        seg=seg,
        evaluate=parse(EvaluateSection, found.evaluate, f"{path}, evaluate"),
    )
    options.tree.update(_resolved(options, found.corpus.get("config")))
    return options


def _boundary(recipe: Recipe, path: Path) -> BoundaryOptions:
    own = recipe.masks.get(BOUNDARY) or {}
    if not isinstance(own, dict):
        raise BadConfig(f"{path}: 'masks.{BOUNDARY}' should hold `key: value` lines, not {own!r}.")
    section = with_seed({"split": recipe.split, **own}, recipe.seed)
    return parse(BoundaryOptions, section, f"{path}, masks.{BOUNDARY}")


def _check_names(masks: MaskOptions, seg: TrainSegOptions) -> None:
    """Look up what is needed only after hours."""
    for registry, name in ((REFINERS, masks.refiner), (known_segmenters(), seg.network.architecture)):
        if name not in registry:
            raise NotRegistered(f"There is no {registry.kind} '{name}'. {suggest(name, list(registry))}")


def _corpus(recipe: Recipe, path: Path) -> CorpusOptions:
    """The corpus of a run: a configuration by name, what the recipe changes in it, and the run's judge for its own."""
    own = {key: value for key, value in recipe.corpus.items() if key != "config"}
    if "config" not in recipe.corpus:
        raise BadConfig(
            f"{path}: the words of '{recipe.method}' are answers, so 'corpus.config' has to name who is asked."
        )
    settings = {"dataset": recipe.dataset, "split": recipe.split, **flat(own)}
    found = load_corpus_options(str(recipe.corpus["config"]), settings_of(settings))
    if (found.judge is not None or found.answerer.kind == "retrieval") and "judge" not in own:
        judge = {"id": recipe.judge.id, "revision": recipe.judge.revision}
        found = parse(CorpusOptions, {**found.model_dump(mode="json"), "judge": judge}, f"{path}, corpus")
    return found


def _resolved(options: RunOptions, corpus: object) -> Tree:
    """Everything in the open, such that it can be read as a recipe again."""
    tree = options.training_of_maps.tree
    seed = options.shared.seed
    for name in ("cams", "masks", "evaluate"):
        tree[name] = getattr(options, name).model_dump(mode="json")
    tree["seg"] = without_seed(options.seg.model_dump(mode="json"), seed)
    if options.corpus is not None:
        tree["corpus"] = {"config": corpus, **options.corpus.model_dump(mode="json")}
    if options.boundary is not None:
        tree["masks"][BOUNDARY] = without_seed(options.boundary.model_dump(mode="json"), seed)
    return tree
