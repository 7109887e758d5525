"""Warning about a run whose models learnt from made-up material."""

from pathlib import Path

from qaclims_path.data.card import Card
from qaclims_path.models.cam_folder import SETTINGS as MAPS
from qaclims_path.models.cam_folder import demonstration_of, network_folder, read_settings
from qaclims_path.models.segmenters.spec import SETTINGS, find_segmenter, read_spec, warning_of


def warning_about(run: Path, card: Card | None) -> str:
    """Warn where the card, the network of the maps or the segmenter is marked as made-up; empty for real images."""
    made_up = card.demonstration if card else ""
    network, segmenter = network_folder(run), find_segmenter(run)
    if not made_up and (network / MAPS).is_file():
        made_up = demonstration_of(read_settings(network))
    if not made_up and (segmenter / SETTINGS).is_file():
        return read_spec(segmenter).warning
    return warning_of(made_up)
