"""Training of the boundary network of the refiner `irn`: confident labels first, then the network on the engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from qaclims_path.compute.refiners.affinity import boundary_loss, pairs_of
from qaclims_path.data.augmentation import Augment, augmentation_for
from qaclims_path.data.card import Card
from qaclims_path.data.dataset import SegmentationDataset
from qaclims_path.data.decoded import first_size
from qaclims_path.data.pseudo import pseudo_card, pseudo_records
from qaclims_path.data.split import SplitData
from qaclims_path.data.windows import Windows, collate_windows
from qaclims_path.engine.distributed import Processes, launch
from qaclims_path.engine.kept import open_kept
from qaclims_path.engine.loop import FitResult, fit
from qaclims_path.engine.settings import RunSettings
from qaclims_path.engine.task import Batch, StepInfo
from qaclims_path.errors import UsageError
from qaclims_path.models.boundary import BoundaryNet, reduced
from qaclims_path.models.cam_folder import read_settings
from qaclims_path.models.camnet import CamNet
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import BOUNDARY, BoundaryOptions, MaskOptions
from qaclims_path.pipeline.masks.settings import protocol_threshold

CAM = "cam"


@dataclass(frozen=True)
class BoundaryReport:
    """Result of a training.

    Attributes:
        folder: Folder of the network.
        images: Images that were trained on.
        steps: Optimiser steps.
        losses: Means over the last epoch.
        ignored: Mean share of an image without a confident label, over new labels.
    """

    folder: str
    dataset: str
    images: int
    steps: int
    losses: dict[str, float]
    ignored: float


class BoundaryTask:
    """One training step: boundaries where labels differ, none where they do not."""

    def __init__(
        self,
        network: BoundaryNet,
        background: int,
        radius: int,
        augment: Callable[[Batch], Tensor],
        *,
        inside: bool = False,
    ) -> None:
        self.network: nn.Module = network  # the name that the engine's protocol expects
        self.augment = augment
        self._boundaries, self._background, self._radius, self._inside = network, background, radius, inside

    def parameter_groups(self, lr: float) -> Sequence[Mapping[str, Any]]:
        """Return parameters of the edge branch."""
        return self._boundaries.parameter_groups(lr)

    def step(self, batch: Batch, info: StepInfo) -> Mapping[str, Tensor]:  # noqa: ARG002 - the engine's signature
        """Return losses of a micro-batch."""
        edges = self._boundaries(self.augment(batch)).float().sigmoid()
        labels = reduced(batch["planes"][:, 0])
        pairs = pairs_of(labels, self._background, self._radius, inside=self._inside)
        losses = boundary_loss(edges, pairs, self._radius)
        return {name: value if name == "loss" else value.detach() for name, value in losses.items()}


def train_boundary(
    run: Path,
    split: SplitData,
    options: BoundaryOptions = BoundaryOptions(),  # noqa: B008 - frozen
    *,
    running: RunSettings = RunSettings(),  # noqa: B008 - frozen
    threads: int = 1,
) -> BoundaryReport:
    """Train the boundary network of a run from its maps, or resume a training that was stopped.

    Args:
        run: Folder of the run, with maps in `cams/<split>`; the network goes to `boundary`.
        split: The split of the options; the protocol says whether there is background.
        options: Options of the training.
        running: Devices, precision, workers.
        threads: Images that the dense CRF works on at once, over all processes of a machine.

    Examples:
        >>> train_boundary(Path("run"), open_split("bcss-wsss", "BCSS-WSSS", "train")).steps  # doctest: +SKIP
        1983
    """
    processes, card = launch(running), split.card
    folder = run / BOUNDARY
    labels = folder / "labels"
    ignored = _make_labels(run, split, labels, options, max(1, threads // processes.local), processes)
    records = pseudo_records(split.records, labels)
    augmentation = augmentation_for(options.size, tissue=card.domain == "pathology", zoom=options.zoom)
    source = SegmentationDataset(pseudo_card(card), records)
    kept = open_kept(folder / "training", len(source), partial(first_size, source), processes)
    data = Windows(source, augmentation, kept)
    augment = Augment(augmentation)
    task = BoundaryTask(
        _network(run, options, card),
        card.background_index,
        options.radius,
        augment,
        inside=options.pairs == "inside",
    )
    result = fit(task, data, options.train, folder / "training", processes=processes, collate=collate_windows)
    processes.on_leader(lambda: _save(task, result, folder))
    return BoundaryReport(str(folder), card.name, len(data), result.steps, result.means, ignored)


def _make_labels(
    run: Path, split: SplitData, labels: Path, options: BoundaryOptions, threads: int, processes: Processes
) -> float:
    """Make masks that are 255 where they are uncertain; return the mean share of 255 in an image."""
    if protocol_threshold(split.rules, "crf") is None:
        sure = MaskOptions(refiner="crf", least=options.least, crf=options.crf)
    else:
        sure = MaskOptions(refiner="crf", threshold=options.band[1], band=options.band, crf=options.crf)
    report = make_masks(run, split, sure, out=labels, device="cpu", threads=threads, processes=processes)
    if not report.images:
        why = next(iter(report.failed.values()), "it is empty")
        raise UsageError(f"No image of the split '{split.name}' could be labelled: {why}")
    return report.ignored


def _network(run: Path, options: BoundaryOptions, card: Card) -> BoundaryNet:
    """Build the network on the backbone of the options."""
    if options.backbone == "cam":
        source, found = CamNet.load(run, classes=card.names), read_settings(run / CAM)
        shape = {"stride": found["stride"], "dilated": found["dilated"]}
    else:
        source, shape = CamNet(options.backbone, card.names, weights=options.weights), {}
    network = BoundaryNet(source.backbone.spec, **shape)
    network.backbone.load_state_dict(source.backbone.state_dict())
    return network


def _save(task: BoundaryTask, result: FitResult, folder: Path) -> None:
    network = task.network
    if isinstance(network, BoundaryNet):
        network.load_state_dict(load_file(result.best or result.weights))
        network.save(folder)
