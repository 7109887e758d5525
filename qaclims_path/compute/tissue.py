"""Masks of tissue, ink, blur and glass. Tissue is coloured and glass is grey: the chroma separates them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.compute.components import drop_specks, fill_holes

# Chroma of glass is below 8 on clean slides; faint eosin begins near 15. Otsu's threshold is kept within this range, so
# that it splits neither the noise of an empty slide nor the tissue of a full one.
THRESHOLDS = 12, 40
INK_RATIO = 1.5  # red over green absorption: haematoxylin up to 1.3, blue and green ink 2
INK_DENSITY = 0.6
BLACK, GREY = 80, 24  # brightest channel and chroma of black ink
BLUR_WINDOW = 48
GLASS_CHROMA = 16 / 255  # chroma of glass is below that of faint eosin
GLASS_BRIGHT = 0.7  # brightness of glass is above that of pigment and black ink
LEAST_GLASS = 50  # pixels; smaller bright spots count as tissue (MLPS)
SHARP = 0.05  # `sharpness` of tissue in focus at 2 um per pixel is above 0.4, blurred by 4 um below 0.05


def chroma(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the largest minus the smallest of red, green and blue per pixel (H W), and the histogram (256).

    Examples:
        >>> chroma(np.array([[[250, 250, 250], [200, 90, 150]]], np.uint8))[0].tolist()
        [[0, 110]]
    """
    values = np.empty(image.shape[:2], np.uint8)
    counts = np.zeros((4, 256), np.int64)
    _chroma(np.ascontiguousarray(image).reshape(-1, 3), values.reshape(-1), counts)
    return values, counts.sum(axis=0)


@njit(cache=True, nogil=True)
def _chroma(image: NDArray[np.uint8], values: NDArray[np.uint8], counts: NDArray[np.int64]) -> None:
    for i in range(len(image)):
        r, g, b = image[i, 0], image[i, 1], image[i, 2]
        values[i] = max(r, g, b) - min(r, g, b)
    for i in range(len(values)):  # four histograms in turn: equal neighbours would wait for each other's increment
        counts[i & 3, values[i]] += 1


def otsu(counts: NDArray[np.int64]) -> int:
    """Return the value that best separates a histogram into `<= value` and `> value`, computed in float64.

    Args:
        counts: 256 pixel counts.

    Examples:
        >>> otsu(np.bincount([3, 4, 5, 90, 100], minlength=256))
        5
    """
    below = np.cumsum(counts, dtype=np.float64)
    weighted = np.cumsum(counts * np.arange(len(counts)), dtype=np.float64)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = weighted / below - (weighted[-1] - weighted) / above
        spread = np.nan_to_num(below * above * distance**2)
    return int(spread.argmax())


def tissue_mask_of(
    image: NDArray[np.uint8], *, threshold: int | None = None, specks: float = 0, holes: float = 0
) -> NDArray[np.bool_]:
    """Return the mask (H W) of coloured pixels of a thumbnail (H W 3).

    Args:
        image: Red, green, blue.
        threshold: Chroma above which a pixel is tissue; None finds it by Otsu, within `THRESHOLDS`.
        specks: Areas of fewer pixels are removed.
        holes: Holes of fewer pixels are filled.
    """
    values, counts = chroma(image)
    if threshold is None:
        threshold = min(max(otsu(counts), THRESHOLDS[0]), THRESHOLDS[1])
    return drop_specks(fill_holes(values > threshold, holes), specks)


def ink_mask(image: NDArray[np.uint8], *, specks: float = 0, reach: int = 0) -> NDArray[np.bool_]:
    """Return the mask (H W) of marks of blue, green or black pens in an image (H W 3).

    Haematoxylin and eosin let more red than green through; blue and green ink do not, and black ink lets nothing
    through.

    Args:
        image: Red, green, blue.
        specks: Marks of fewer pixels count as tissue.
        reach: Widen the marks by this many pixels.
    """
    from scipy.ndimage import binary_dilation

    ink = np.empty(image.shape[:2], np.bool_)
    densities = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)
    _ink(np.ascontiguousarray(image).reshape(-1, 3), densities, ink.reshape(-1))
    ink = drop_specks(ink, specks)
    if reach and ink.any():
        ink = binary_dilation(ink, iterations=reach)
    return ink


@njit(cache=True, nogil=True)
def _ink(image: NDArray[np.uint8], densities: NDArray[np.float32], ink: NDArray[np.bool_]) -> None:
    for i in range(len(image)):
        r, g, b = image[i, 0], image[i, 1], image[i, 2]
        coloured = densities[r] > max(INK_DENSITY, INK_RATIO * densities[g])
        ink[i] = coloured or (max(r, g, b) < BLACK and max(r, g, b) - min(r, g, b) < GREY)


def sharpness(image: NDArray[np.uint8], window: int) -> NDArray[np.float32]:
    """Return local variance of the Laplacian over local variance of brightness (H W).

    The ratio does not depend on the strength of the stain. Areas without contrast get infinity.

    Args:
        image: H W 3.
        window: Side of the neighbourhood in pixels.
    """
    from scipy.ndimage import laplace, uniform_filter

    grey = image.astype(np.float32).mean(axis=-1)
    edges = laplace(grey)

    def variance(values: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = values - values.mean()
        mean = uniform_filter(centred, window)
        spread: NDArray[np.float32] = uniform_filter(centred**2, window) - mean**2
        return spread

    contrast = variance(grey)
    ratio = np.full(grey.shape, np.inf, np.float32)
    np.divide(variance(edges), contrast, out=ratio, where=contrast > 1)
    return ratio


def blur_mask(image: NDArray[np.uint8], *, window: int = BLUR_WINDOW, sharp: float = SHARP) -> NDArray[np.bool_]:
    """Return the mask (H W) of pixels out of focus: little of their contrast is between neighbouring pixels.

    Args:
        image: H W 3, about 2 um per pixel.
        window: Side of the neighbourhood in pixels.
        sharp: Least `sharpness` in focus.
    """
    return sharpness(image, window) < sharp


def glass_of(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the mask (H W) of bright grey pixels of an image (H W 3), without specks."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    brightest = np.maximum(np.maximum(red, green), blue)
    darkest = np.minimum(np.minimum(red, green), blue)
    glass = (brightest - darkest <= round(255 * GLASS_CHROMA)) & (brightest >= np.ceil(255 * GLASS_BRIGHT))
    return drop_specks(glass, LEAST_GLASS)
