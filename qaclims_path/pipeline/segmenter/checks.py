"""Checks before a training of a segmenter, for errors that would come after seconds of imports, or after hours."""

from pathlib import Path

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.pseudo import read_mask_settings
from qaclims_path.errors import NotRegistered
from qaclims_path.models.names import check_network
from qaclims_path.models.segmenters import SEGMENTERS
from qaclims_path.pipeline.segmenter.options import TrainSegOptions
from qaclims_path.registry import suggest


def check_training(options: TrainSegOptions, root: Path, out: Path, masks: Path | None) -> None:
    """Refuse a training whose data, masks or networks are missing.

    Args:
        options: Options of the training.
        root: Folder of the data in the publisher's layout.
        out: Folder of the run.
        masks: Folder of pseudo masks; `masks/<split>` in the run when None.
    """
    list_records(load_card(options.dataset), root, options.split)
    check_seg(options)
    if not options.truth:
        read_mask_settings(masks or out / "masks" / options.split)


def check_seg(options: TrainSegOptions) -> None:
    """Refuse unknown architectures, encoders and weights of the segmenter."""
    network = options.network
    if network.architecture not in SEGMENTERS:
        known = suggest(network.architecture, list(SEGMENTERS))
        raise NotRegistered(f"There is no {SEGMENTERS.kind} '{network.architecture}'. {known}")
    check_network(network.encoder, network.weights)
