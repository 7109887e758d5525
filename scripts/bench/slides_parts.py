"""Time tissue masks and stain normalisation against MONAI; agreement is printed, because the algorithms differ.

    python scripts/bench/slides_parts.py [SLIDE...]

Tissue: an image of 4096 x 4096 pixels (2 um each). Ours removes specks and fills holes, MONAI's `ForegroundMask` does
not. The limit of 10 is against its pathology setting (saturation by Otsu), which uses colour as ours does; its setting
for brightness is faster and is shown, too, beside ours without cleaning. Stain: a tile of 512 x 512 pixels, normalised
by a fit made once per slide; MONAI's `NormalizeHEStains` fits every tile. Images come from the slides named, or from a
phantom. One thread each.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder is on the path, not the one above

import numpy as np
from monai.apps.pathology.transforms.stain.array import ExtractHEStains, NormalizeHEStains
from monai.transforms.intensity.array import ForegroundMask
from numpy.typing import NDArray
from PIL import Image

from bench.timing import conditions, exit_with, median_ms
from qaclims_path.compute.stain import fit_macenko, fit_reinhard, normalise
from qaclims_path.compute.tissue import tissue_mask_of
from qaclims_path.data.phantoms.slide import paint_slide
from qaclims_path.slides.reader import open_slide

RUNS = 7
SIDE, TILE = 4096, 512
AREA = 1000.0  # pixels of specks and holes
Pixels = NDArray[np.uint8]
Row = tuple[str, float, float, str]


def tissue_row(picture: Pixels) -> list[Row]:
    """Time our masks and MONAI's on one image (H W 3)."""
    channels = np.ascontiguousarray(picture.transpose(2, 0, 1))
    mask = tissue_mask_of(picture, specks=AREA, holes=AREA)
    rows: list[Row] = [
        (
            "tissue, ours",
            *median_ms(lambda: tissue_mask_of(picture, specks=AREA, holes=AREA), RUNS),
            f"{mask.mean():.1%} tissue",
        ),
        ("tissue, ours, not cleaned", *median_ms(lambda: tissue_mask_of(picture), RUNS), ""),
    ]
    peers = {
        "saturation": ForegroundMask(hsv_threshold={"S": "otsu"}),
        "brightness": ForegroundMask(threshold="otsu"),
    }
    for name, peer in peers.items():
        agree = float((np.asarray(peer(channels))[0].astype(bool) == mask).mean())
        timed = median_ms(lambda peer=peer: peer(channels), runs=3)  # type: ignore[misc]
        rows.append((f"tissue, MONAI ForegroundMask, {name}", *timed, f"{agree:.1%} of pixels agree"))
    return rows


def stain_row(tile: Pixels, sample: Pixels) -> list[Row]:
    """Time our normalisation, fitted on a sample of the slide (N 3), and MONAI's on one tile (H W 3)."""
    peer = NormalizeHEStains()
    macenko, reinhard = fit_macenko(sample), fit_reinhard(sample)
    own, theirs = np.array(fit_macenko(tile.reshape(-1, 3)).stains), ExtractHEStains()(tile).T
    swapped = bool(np.abs(own - theirs).max() > np.abs(own - theirs[::-1]).max())
    apart = np.abs(own - theirs[:: -1 if swapped else 1]).max()
    return [
        ("stain, ours, Macenko", *median_ms(lambda: normalise(tile, macenko), runs=31), "fit once per slide"),
        ("stain, ours, Reinhard", *median_ms(lambda: normalise(tile, reinhard), runs=31), "fit once per slide"),
        (
            "stain, ours, Macenko fit per slide",
            *median_ms(lambda: fit_macenko(sample), RUNS),
            f"{len(sample):,} pixels",
        ),
        (
            "stain, MONAI NormalizeHEStains",
            *median_ms(lambda: peer(tile), RUNS),
            f"stains of the tile within {apart:.3f}" + ", swapped" * swapped,
        ),
    ]


def pictures(path: Path | None) -> tuple[Pixels, Pixels]:
    """Return an image of SIDE x SIDE pixels and one at full resolution, of a slide or of a phantom."""
    if path is None:
        coarse, _ = paint_slide(5, (SIDE, SIDE), 2.0)
        fine, _ = paint_slide(5, (2048, 2048), 0.5)
        return coarse, fine
    with open_slide(path) as slide:
        fine = slide.thumbnail(SIDE)
    return np.asarray(Image.fromarray(fine).resize((SIDE, SIDE))), fine


def densest(picture: Pixels) -> Pixels:
    """Return the tile with most tissue."""
    mask = tissue_mask_of(picture)
    corners = [(y, x) for y in range(0, mask.shape[0] - TILE, 128) for x in range(0, mask.shape[1] - TILE, 128)]
    y, x = max(corners, key=lambda at: mask[at[0] : at[0] + TILE, at[1] : at[1] + TILE].sum())
    return np.ascontiguousarray(picture[y : y + TILE, x : x + TILE])


def main() -> None:
    """Measure and print a Markdown table per slide."""
    print(f"{conditions('numpy', 'numba', 'monai', 'scikit-image')}.")
    missed = []
    slides: list[Path | None] = [Path(name) for name in sys.argv[1:]]
    for path in slides or [None]:
        coarse, fine = pictures(path)
        sample = fine[tissue_mask_of(fine)]
        sample = sample[np.random.default_rng(0).integers(0, len(sample), 100_000)]
        tissue, stain = tissue_row(coarse), stain_row(densest(fine), sample)
        print(f"\n{'phantom' if path is None else path.name}\n")
        print("| what | median ms | spread ms | ours is faster by | |\n|---|---|---|---|---|")
        for group in (tissue, stain):
            for name, median, spread, note in group:
                ratio = "" if "ours" in name else f"{median / group[0][1]:.0f}x"
                print(f"| {name} | {median:.2f} | {spread:.2f} | {ratio} | {note} |")
        missed += ["tissue"] * (tissue[2][1] < 10 * tissue[0][1])
        missed += ["stain"] * (stain[-1][1] < 30 * stain[0][1])
    exit_with(missed)


if __name__ == "__main__":
    main()
