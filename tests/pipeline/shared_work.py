"""Work that the processes of a training share: masks from maps, and the validation of a segmenter.

As a script it is one of several processes: `torchrun ... shared_work.py RUN DATA OUT`.
"""

import json
import sys
from pathlib import Path

import torch

if __name__ == "__main__":  # Lightning imports torchmetrics if it is installed, which takes seconds and is never used
    sys.modules["torchmetrics"] = None

from qaclims_path.data.cards import load_card
from qaclims_path.data.dataset import open_dataset
from qaclims_path.data.protocol import load_protocol
from qaclims_path.data.split import open_split
from qaclims_path.engine.distributed import Processes, launch
from qaclims_path.engine.settings import RunSettings
from qaclims_path.engine.task import EpochEnd
from qaclims_path.models.backbones import find_backbone
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.models.segmenters.spec import SegmenterSpec
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.segmenter.task import Validation
from qaclims_path.pipeline.segmenter.train import channels_of

CARD = "bcss-wsss"


def validate(data: Path, processes: Processes) -> float:
    """Score a network with random weights on the validation images."""
    card = load_card(CARD)
    rules = load_protocol(card.protocols[0])
    torch.manual_seed(0)
    spec = SegmenterSpec("unet", find_backbone("test_resnet"), channels_of(card, rules))
    segmenter = Segmenter(spec).eval()
    score = Validation(open_dataset(card, data, "val", masks=True), segmenter, rules)
    return score(EpochEnd(1, 1, segmenter, {}, processes, lambda *_: None))["miou"]


def share(run: Path, data: Path, out: Path, processes: Processes) -> dict[str, object]:
    """Make masks and validate; returns the numbers."""
    split = open_split(load_card(CARD), data, "train")
    report = make_masks(run, split, MaskOptions(least=0.5), out=out / "masks", device="cpu", processes=processes)
    counts = {"images": report.images, "kept": report.kept, "failed": report.failed, "ignored": report.ignored}
    return {"masks": counts, "miou": validate(data, processes)}


def main() -> None:
    torch.set_num_threads(1)
    run, data, out = map(Path, sys.argv[1:])
    processes = launch(RunSettings(accelerator="cpu"))
    numbers = share(run, data, out, processes)
    (out / f"{processes.rank}.json").write_text(json.dumps(numbers))


if __name__ == "__main__":
    main()
