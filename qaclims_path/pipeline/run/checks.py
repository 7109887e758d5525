"""Checks before a run begins or removes a result, for errors that would come after hours.

Nothing is downloaded: of an id of a hub, only the spelling is checked.
"""

from qaclims_path.data.card import Card
from qaclims_path.data.card_parts import Split
from qaclims_path.data.protocol import load_protocol
from qaclims_path.errors import BadConfig, UsageError
from qaclims_path.language.answerers import ANSWERERS
from qaclims_path.models.judges import check_judge
from qaclims_path.pipeline.corpus.options import CorpusOptions
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.masks.settings import fixed_threshold
from qaclims_path.pipeline.run.steps import Run
from qaclims_path.registry import suggest


def check_fit(run: Run, card: Card) -> None:
    """Refuse sections that contradict each other, or do not fit the data."""
    options, train = run.options, run.options.shared.split
    if run.running.nodes not in ("auto", 1):
        raise UsageError(
            f"`qaclims run` works on one machine, not on {run.running.nodes}, because it locks its folder. Do the "
            "stages one by one, `qaclims train cam` and `qaclims train seg` with --nodes; `qaclims run` then continues."
        )
    if options.shared.words.need_corpus and not (run.corpus or options.corpus) and options.shared.judge.id is not None:
        raise BadConfig(
            f"{options.recipe}: the words of '{options.shared.method}' are answers, so 'corpus.config' has to name a "
            "configuration, or --corpus a file of answers."
        )
    for name, section in (("corpus", options.corpus), ("masks.boundary", options.boundary), ("seg", options.seg)):
        dataset, split = getattr(section, "dataset", run.dataset), getattr(section, "split", train)
        if dataset != run.dataset:
            raise UsageError(f"'{name}.dataset' is {dataset}, but the run has the data set {run.dataset}.")
        if split != train and not (name == "seg" and options.seg.truth):
            raise UsageError(f"'{name}.split' is {split}, but the run is trained on '{train}'. Set both or none.")
    if run.protocol not in card.protocols:
        raise UsageError(
            f"'{card.name}' is not scored under the protocol '{run.protocol}'. "
            f"{suggest(run.protocol, list(card.protocols))}"
        )
    if options.seg.protocol not in (None, run.protocol):
        raise UsageError(
            f"'seg.protocol' is {options.seg.protocol}, but masks are made and scored for '{run.protocol}'. "
            "Leave it out, and set evaluate.protocol."
        )
    unscored = [split for split in options.evaluate.splits if card.split(split).supervision != "masks"]
    if unscored:
        known = ", ".join(name for name, split in card.splits.items() if split.supervision == "masks")
        raise UsageError(
            f"'evaluate.splits' names '{unscored[0]}', which trains on image labels and has no masks to score against. "
            f"Splits with masks: {known or 'none'}."
        )


def check_corpus(options: CorpusOptions) -> None:
    """Refuse unknown answerers and judges."""
    _ = ANSWERERS[options.answerer.kind]
    if options.judge is not None:
        check_judge(options.judge.id)


def check_masks(options: MaskOptions, protocol: str, split: Split) -> None:
    """Refuse thresholds that these images cannot have."""
    fixed_threshold(options, load_protocol(protocol), masks=split.supervision == "masks")
