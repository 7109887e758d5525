"""Results of predictions image by image, refined by a dense CRF in threads where there is one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.compute.refiners.crf_settings import CrfSettings
from qaclims_path.compute.transfer import fetched
from qaclims_path.errors import QaclimsError
from qaclims_path.files.ahead import ahead

T = TypeVar("T")
Wanted = Callable[[Tensor], Tensor]
Picture = Callable[[T], NDArray[np.uint8]]


def results(
    predicted: Iterable[tuple[Sequence[T], Tensor]],
    wanted: Wanted,
    picture: Picture[T],
    crf: CrfSettings | None,
    threads: int,
) -> Iterator[tuple[T, NDArray[Any] | str]]:
    """Yield every image with what is wanted of its probabilities, or the reason why a CRF cannot refine them.

    Args:
        predicted: Batches of images (B) and their probabilities (B K H W) on any device.
        wanted: Makes the results (B ...) of probabilities (B K H W).
        picture: Gives the pixels (H W 3) of an image.
        crf: Refines the probabilities first; results do not depend on batches and threads.
        threads: Images that are refined at a time.
    """
    if crf is None:
        return _singly(fetched((images, wanted(probabilities)) for images, probabilities in predicted))
    copies = ((image, each.copy()) for image, each in _singly(fetched(predicted)))  # they outlast their batch
    return ahead(partial(_refined, wanted, picture, crf), copies, threads)


def refined(picture: NDArray[np.uint8], probabilities: Tensor, crf: CrfSettings) -> Tensor:
    """Refine the probabilities (K H W) of one image (H W 3) on the CPU.

    Raises:
        QaclimsError: They are no probabilities, or the image is too large.
    """
    from qaclims_path.compute.refiners.crf import refine_probabilities  # compiled loops, which take a second to import

    return torch.from_numpy(refine_probabilities(picture, probabilities.cpu().numpy(), crf))


def _singly(batches: Iterable[tuple[Sequence[T], Tensor]]) -> Iterator[tuple[T, NDArray[Any]]]:
    for images, found in batches:
        yield from zip(images, found.numpy(), strict=True)


def _refined(
    wanted: Wanted, picture: Picture[T], crf: CrfSettings, predicted: tuple[T, NDArray[np.float32]]
) -> tuple[T, NDArray[Any] | str]:
    image, probabilities = predicted
    try:
        found = refined(picture(image), torch.from_numpy(probabilities), crf)
    except QaclimsError as error:
        return image, str(error)
    return image, wanted(found[None])[0].numpy()
