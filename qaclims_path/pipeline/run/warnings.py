"""Warnings before a run trains: about its data, its judge, and parts that nobody published."""

from collections.abc import Iterator

from qaclims_path.data.before_training import Sight, before_training
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.models.judges.sight import sight_of
from qaclims_path.pipeline.configs import JudgeOptions
from qaclims_path.pipeline.run.published import published_notes
from qaclims_path.pipeline.run.steps import Run


def run_warnings(run: Run) -> list[str]:
    """Check the splits that a run trains on and scores; nothing is opened or downloaded."""
    card, options = load_card(run.dataset), run.options
    names = dict.fromkeys((options.shared.split, *options.evaluate.splits))
    splits = {name: list_records(card, run.root, name) for name in names}
    images = len(splits[options.shared.split])
    data = before_training(card, splits, _sight(options.shared.judge))
    return [*published_notes(options), *_batches(run, images), *data]


def _batches(run: Run, images: int) -> Iterator[str]:
    """Say which trainings will refuse to begin, because there are fewer images than they take at a time."""
    for key, train in (("cam.train", run.options.cam.train), ("seg.train", run.options.seg.train)):
        if images < train.batch:
            yield (
                f"There are {images} training images, but {key}.batch is {train.batch}, so that training will not "
                f"begin. Set {key}.batch={1 << max(images.bit_length() - 1, 0)}, or add images."
            )


def _sight(judge: JudgeOptions) -> Sight | None:
    """Return what the judge sees; None without a judge, or where it looks through windows at its own pixel size."""
    if judge.id is None or judge.scale != "fit":
        return None
    side, mpp = sight_of(judge.id)
    return Sight(side or Sight.side, mpp)
