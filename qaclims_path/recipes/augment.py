"""How trainings vary their images: tissue in every direction, photographs as they stand."""

from monai.transforms.compose import Compose

from qaclims_path.data.transforms import augmentation

GLASS, DAY = 1.0, 0.45  # brightness of padding: white beside tissue, grey beside photographs


def augment(size: int, seed: int, *, tissue: bool, zoom: tuple[float, float], jitter: float = 0.0) -> Compose:
    """`augmentation` for tissue or for photographs."""
    return augmentation(size, seed, rotate=tissue, zoom=zoom, jitter=jitter, fill=GLASS if tissue else DAY)
