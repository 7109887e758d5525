"""Options of a whole run: one recipe file, whose sections belong to its stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from qaclims_path.config import Options, Tree, flat, merge, parse, settings_of
from qaclims_path.errors import BadConfig, NotRegistered
from qaclims_path.models.refiners import REFINERS
from qaclims_path.models.segmenters import known_segmenters
from qaclims_path.pipeline.cam.options import TrainCamOptions, cam_options
from qaclims_path.pipeline.configs import SECTIONS, read_recipe
from qaclims_path.pipeline.corpus.options import CorpusOptions, load_corpus_options
from qaclims_path.pipeline.masks.boundary import BoundaryOptions
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
        corpus: None where no words come from answers.
        boundary: None where the refiner needs none.
    """

    recipe: str
    settings: tuple[str, ...]
    tree: Tree
    cam: TrainCamOptions
    corpus: CorpusOptions | None
    cams: CamsSection
    boundary: BoundaryOptions | None
    masks: MaskOptions
    seg: TrainSegOptions
    evaluate: EvaluateSection


def load_run(recipe: str | Path, settings: Sequence[str] = ()) -> RunOptions:
    """Read a recipe with all its sections.

    Example:
        >>> load_run("phantom/cam", ["evaluate.what=[cams]"]).evaluate.what
        ('cams',)
    """
    path, tree = read_recipe(recipe, settings)
    cam = cam_options(tree, path)
    sections = {name: _section(tree, name, path) for name in SECTIONS}
    evaluate = parse(EvaluateSection, sections["evaluate"], f"{path}, evaluate")
    masks = parse(MaskOptions, sections["masks"], f"{path}, masks")
    shared = {"train": {"seed": cam.train.seed}}  # one seed for the whole run, unless a section has its own
    boundary = parse(BoundaryOptions, merge({"split": cam.split, **shared}, sections["boundary"]), f"{path}, boundary")
    usual = {"protocol": evaluate.protocol, **shared}
    seg = seg_options({**tree, "seg": merge(usual, sections["seg"])}, path)
    _check_names(masks, seg)
    asked = cam.words.source in FROM_ANSWERS and cam.judge.id is not None
    options = RunOptions(
        recipe=str(recipe),
        settings=tuple(settings),
        tree={},
        cam=cam,
        corpus=_corpus(sections["corpus"], cam, path) if asked else None,
        cams=parse(CamsSection, sections["cams"], f"{path}, cams"),
        boundary=boundary if masks.refiner == "irn" else None,
        masks=masks,
        seg=seg,
        evaluate=evaluate,
    )
    options.tree.update(_resolved(options, sections["corpus"].get("config")))
    return options


def _section(tree: Mapping[str, Any], name: str, path: Path) -> Tree:
    found = tree.get(name) or {}
    if not isinstance(found, dict):
        raise BadConfig(f"{path}: '{name}' should hold `key: value` lines, not {found!r}.")
    return dict(found)


def _check_names(masks: MaskOptions, seg: TrainSegOptions) -> None:
    """Look up what is needed only after hours."""
    for registry, name in ((REFINERS, masks.refiner), (known_segmenters(), seg.network.architecture)):
        if name not in registry:
            raise NotRegistered(f"There is no {registry.kind} '{name}'. {suggest(name, list(registry))}")


def _corpus(section: Tree, cam: TrainCamOptions, path: Path) -> CorpusOptions:
    """The corpus of a run: a configuration by name, what the recipe changes in it, and the run's judge for its own."""
    own = {key: value for key, value in section.items() if key != "config"}
    if "config" not in section:
        raise BadConfig(
            f"{path}: the words of '{cam.method}' are answers, so 'corpus.config' has to name who is asked."
        )
    settings = {"dataset": cam.dataset, "split": cam.split, **flat(own)}
    found = load_corpus_options(str(section["config"]), settings_of(settings))
    if (found.judge is not None or found.answerer.kind == "retrieval") and "judge" not in own:
        judge = {"id": cam.judge.id, "revision": cam.judge.revision}
        found = parse(CorpusOptions, {**found.model_dump(mode="json"), "judge": judge}, f"{path}, corpus")
    return found


def _resolved(options: RunOptions, corpus: object) -> Tree:
    """Everything in the open, such that it can be read as a recipe again."""
    tree: Tree = options.cam.model_dump(mode="json")
    for name in SECTIONS:
        section = getattr(options, name)
        if section is not None:
            tree[name] = section.model_dump(mode="json")
    if "corpus" in tree:
        tree["corpus"] = {"config": corpus, **tree["corpus"]}
    return tree
