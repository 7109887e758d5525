"""The stages of a run, from its options.

Every split has its own stages (`cams` for the training split, `cams-val` for a scored one), so that one more scored
split repeats no training.
"""

from functools import cache, partial

from qaclims_path.config import Tree
from qaclims_path.data.card import Card
from qaclims_path.data.cards import load_card
from qaclims_path.pipeline.cam.checks import check_cam
from qaclims_path.pipeline.corpus.options import CorpusOptions
from qaclims_path.pipeline.masks.options import BoundaryOptions
from qaclims_path.pipeline.run.checks import check_corpus, check_fit, check_masks
from qaclims_path.pipeline.run.fingerprints import (
    content_of,
    corpus_depends,
    facts_of,
    images_of,
    maps_depend,
    named,
    named_tree,
    rules_of,
    slides_of,
)
from qaclims_path.pipeline.run.options import PREDICTING, CamsSection, RunOptions
from qaclims_path.pipeline.run.stages import Stage
from qaclims_path.pipeline.run.steps import (
    CORPUS,
    METRICS,
    REPORT,
    SCORED_BY,
    Run,
    classes_of,
    do_boundary,
    do_cam,
    do_cams,
    do_corpus,
    do_evaluate,
    do_masks,
    do_predict,
    do_report,
    do_seg,
)
from qaclims_path.pipeline.segmenter.checks import check_seg


def stages_of(run: Run) -> list[Stage]:
    """List the stages of a run, in order.

    Raises:
        UsageError: The sections of the recipe contradict each other, or do not fit the data.
    """
    options, card = run.options, load_card(run.dataset)
    check_fit(run, card)
    train, splits, what = options.shared.split, options.evaluate.splits, options.evaluate.what
    inputs = _Inputs(run, card)
    masks = _needs_masks(options)
    stages: list[Stage] = []
    if options.corpus is not None and run.corpus is None and (masks or "cams" in what):
        stages.append(_corpus(run, options.corpus, inputs))
    if masks or "cams" in what:
        stages.append(_cam(run, inputs, reads=tuple(stage.name for stage in stages)))
        mapped = [*([train] if masks else []), *(splits if {"cams", "masks"} & {*what} else ())]
        stages += [_cams(run, inputs, split) for split in dict.fromkeys(mapped)]
    if masks and options.boundary is not None:
        stages.append(_boundary(run, options.boundary, inputs))
    if masks:
        refined = [train, *(splits if "masks" in what else ())]
        stages += [_masks(run, inputs, split) for split in dict.fromkeys(refined)]
    if "seg" in what:
        stages.append(_seg(run, inputs))
        stages += [_predict(run, inputs, split) for split in splits]
    return [*stages, _evaluate(run), _report(run)]


def _needs_masks(options: RunOptions) -> bool:
    """Return whether maps are refined: for scores of masks, or for the training of a segmenter."""
    what = options.evaluate.what
    return "masks" in what or ("seg" in what and not options.seg.truth)


class _Inputs:
    """Inputs of stages in addition to options: card, images and protocol. Every split is listed once."""

    def __init__(self, run: Run, card: Card) -> None:
        self.card = card
        self._facts = facts_of(card)
        self._images = cache(partial(images_of, card, run.root))
        self.rules = {"protocol": rules_of(run.protocol)}

    def of(self, *splits: str) -> Tree:
        """Return hashes of the card and of the images of splits."""
        return {"card": self._facts, "images": {split: self._images(split) for split in splits}}

    def scored(self, split: str) -> Tree:
        """Return the protocol, if the split has masks, because results on such a split are scored at once."""
        return self.rules if self.card.split(split).supervision == "masks" else {}


def _corpus(run: Run, options: CorpusOptions, inputs: _Inputs) -> Stage:
    return Stage(
        name="corpus",
        does="ask about every image",
        version=1,
        depends={"corpus": corpus_depends(options, run.root), **inputs.of(run.options.shared.split)},
        reads=(),
        makes=(CORPUS, "corpus.config.yaml"),
        run=partial(do_corpus, run),
        check=partial(check_corpus, options),
    )


def _cam(run: Run, inputs: _Inputs, reads: tuple[str, ...]) -> Stage:
    options = run.options
    depends = {**maps_depend(options.training_of_maps, inputs.card), **inputs.of(options.shared.split)}
    if options.cam.labels.of == "slide":
        depends["slides"] = slides_of(inputs.card, run.root, options.shared.split)
    if run.corpus is not None and options.shared.words.need_corpus:
        depends["answers"] = content_of(run.corpus)
    return Stage(
        name="cam",
        does="train the maps",
        version=1,
        depends=depends,
        reads=reads,
        makes=("cam", "init") if options.cam.init.start == "cam" else ("cam",),
        run=partial(do_cam, run),
        check=partial(check_cam, options.training_of_maps),
    )


def _cams(run: Run, inputs: _Inputs, split: str) -> Stage:
    section: Tree = {"scales": list(run.options.cams.scales), "classes": classes_of(run, split)}
    if run.options.cams.grid != CamsSection().grid:  # runs older than this option keep their hashes
        section["grid"] = run.options.cams.grid
    return Stage(
        name=_name(run, "cams", split),
        does=f"make the maps of {split}",
        version=1,
        depends={"cams": section, **inputs.of(split), **inputs.scored(split)},
        reads=("cam",),
        makes=(f"cams/{split}",),
        run=partial(do_cams, run, split),
    )


def _boundary(run: Run, options: BoundaryOptions, inputs: _Inputs) -> Stage:
    return Stage(
        name="boundary",
        does="train the boundaries",
        version=1,
        depends={"masks": {"boundary": named(options)}, **inputs.of(run.options.shared.split), **inputs.rules},
        reads=("cams",),
        makes=("boundary",),
        run=partial(do_boundary, run),
    )


def _masks(run: Run, inputs: _Inputs, split: str) -> Stage:
    options = run.options
    section = options.masks.model_dump(mode="json", exclude={"batch"})
    return Stage(
        name=_name(run, "masks", split),
        does=f"refine the maps of {split}",
        version=1,
        depends={"masks": section, **inputs.of(split), **inputs.rules},
        reads=(_name(run, "cams", split), *(("boundary",) if options.boundary is not None else ())),
        makes=(f"masks/{split}",),
        run=partial(do_masks, run, split),
        check=partial(check_masks, options.masks, run.protocol, inputs.card.split(split)),
    )


def _seg(run: Run, inputs: _Inputs) -> Stage:
    options = run.options.seg
    splits = (options.split, *((options.validate_on,) if options.validate_on else ()))
    apart = "dataset", "protocol"  # the card has its own hash, the rules have the content of the protocol
    section = {key: value for key, value in named_tree(options.tree).items() if key not in apart}
    return Stage(
        name="seg",
        does="train the segmenter",
        version=1,
        depends={"seg": section, **inputs.of(*splits), **inputs.rules},
        reads=() if options.truth else ("masks",),
        makes=("seg",),
        run=partial(do_seg, run),
        check=partial(check_seg, options),
    )


def _predict(run: Run, inputs: _Inputs, split: str) -> Stage:
    section = run.options.evaluate.model_dump(mode="json", include={*PREDICTING})
    return Stage(
        name=_name(run, "predict", split),
        does=f"label {split}",
        version=1,
        depends={"evaluate": section, **inputs.of(split), **inputs.rules},
        reads=("seg",),
        makes=(f"seg/predictions/{split}",),
        run=partial(do_predict, run, split),
    )


def _evaluate(run: Run) -> Stage:
    options = run.options.evaluate
    return Stage(
        name="evaluate",
        does="gather the scores",
        version=1,
        depends=options.model_dump(mode="json", include={"what", "splits"}),
        reads=tuple(_name(run, SCORED_BY[what], split) for what in options.what for split in options.splits),
        makes=(METRICS,),
        run=partial(do_evaluate, run),
    )


def _report(run: Run) -> Stage:
    return Stage("report", "write the page", 1, {}, ("evaluate",), (REPORT,), partial(do_report, run))


def _name(run: Run, stage: str, split: str) -> str:
    """Name a stage of one split: maps and masks of the training split have no split in their name."""
    return stage if stage != "predict" and split == run.options.shared.split else f"{stage}-{split}"
