"""Tiling as MONAI dictionary transforms, for any `Compose`; each transform calls one function of this package.

Examples:
    >>> tile = Compose([  # doctest: +SKIP
    ...     LoadSlided("slide"),
    ...     TissueMaskd("slide"),
    ...     TileGridd("slide", mpp=0.5, size=224),
    ...     ReadTilesd("slide"),
    ...     NormalizeStaind("slide"),
    ...     RegionLabelsd("slide", ["Tumor", "Stroma"]),
    ... ])
    >>> for image in tile({"slide": "a.svs", "regions": "a.geojson"})["tiles"]: ...  # doctest: +SKIP

The slide stays open while the item holds it; its tiles are read on demand.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform

from qaclims_path.slides.annotations.labels import known_in, present_in
from qaclims_path.slides.annotations.regions import drawn_shares, read_regions, read_roi, region_shares
from qaclims_path.slides.dataset import TiledSlide
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.reader import open_slide
from qaclims_path.slides.stain import fit_slide
from qaclims_path.slides.tissue import TissueOptions, tissue_mask

Item = Mapping[Hashable, Any]


class LoadSlided(MapTransform):
    """Open the slide whose path is at the key; an `mpp` in the item overrides that of the file."""

    def __init__(self, keys: KeysCollection, *, backend: str = "auto", mpp_key: str = "mpp") -> None:
        super().__init__(keys)
        self.reader = backend
        self.mpp_key = mpp_key

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Replace the path by an open `Slide`."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = open_slide(item[key], backend=self.reader, mpp=item.get(self.mpp_key))
        return item


class TissueMaskd(MapTransform):
    """Find the tissue of an open slide; see `tissue_mask`."""

    def __init__(
        self,
        keys: KeysCollection,
        mode: str = "otsu",
        *,
        tile_um: float = 112.0,
        options: TissueOptions | None = None,
        mask_key: str = "tissue",
    ) -> None:
        super().__init__(keys)
        self.mode = mode
        self.tile_um = tile_um
        self.options = options
        self.mask_key = mask_key

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Add a `TissueMask`."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[self.mask_key] = tissue_mask(item[key], self.mode, tile_um=self.tile_um, options=self.options)
        return item


class TileGridd(MapTransform):
    """Lay tiles over an open slide; options are those of `make_grid`.

    Takes the tissue mask, and the path of a GeoJSON with regions of interest, from the item if it has them.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        mask_key: str = "tissue",
        roi_key: str = "roi",
        grid_key: str = "grid",
        **options: Any,  # noqa: ANN401 - those of make_grid
    ) -> None:
        super().__init__(keys)
        self.mask_key = mask_key
        self.roi_key = roi_key
        self.grid_key = grid_key
        self.options = options

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Add a `TileGrid`."""
        item = dict(data)
        for key in self.key_iterator(item):
            info, roi = item[key].info, item.get(self.roi_key)
            regions = None if roi is None else read_roi(Path(roi), info)
            item[self.grid_key] = make_grid(info, mask=item.get(self.mask_key), roi=regions, **self.options)
        return item


class ReadTilesd(MapTransform):
    """Attach the tiles of an open slide without reading them: iterate over them, or pass them to `SlideTileDataset`."""

    def __init__(self, keys: KeysCollection, *, grid_key: str = "grid", tiles_key: str = "tiles") -> None:
        super().__init__(keys)
        self.grid_key = grid_key
        self.tiles_key = tiles_key

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Add a `TiledSlide`."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[self.tiles_key] = TiledSlide.of(item[key], item[self.grid_key])
        return item


class NormalizeStaind(MapTransform):
    """Fit the stain of an open slide and normalise its tiles with it; see `fit_slide`."""

    def __init__(
        self, keys: KeysCollection, method: str = "macenko", *, seed: int = 0, tiles_key: str = "tiles"
    ) -> None:
        super().__init__(keys)
        self.method = method
        self.seed = seed
        self.tiles_key = tiles_key

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Add the stain fit to the tiles."""
        item = dict(data)
        for key in self.key_iterator(item):
            tiles = item[self.tiles_key]
            fit = fit_slide(item[key], tiles.grid, self.method, seed=self.seed)
            item[self.tiles_key] = replace(tiles, stain=fit)
        return item


class RegionLabelsd(MapTransform):
    """Label the tiles of an open slide from the annotated regions of a GeoJSON, whose path is in the item.

    Of sparse annotations it is known only where they are drawn which classes are present; see `known_in`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        classes: Sequence[str],
        *,
        present_from: float = 0.05,
        sparse: bool = False,
        regions_key: str = "regions",
        tiles_key: str = "tiles",
        shares_key: str = "shares",
        notes_key: str = "notes",
        drawn_key: str = "drawn",
    ) -> None:
        super().__init__(keys)
        self.classes = tuple(classes)
        self.present_from = present_from
        self.sparse = sparse
        self.regions_key = regions_key
        self.tiles_key = tiles_key
        self.shares_key = shares_key
        self.notes_key = notes_key
        self.drawn_key = drawn_key

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Add labels to the tiles; and to the item the shares (N C), the regions, and notes on the regions."""
        item = dict(data)
        for key in self.key_iterator(item):
            tiles, path = item[self.tiles_key], Path(item[self.regions_key])
            regions = read_regions(path, item[key].info, self.classes)
            shares = region_shares(regions, tiles.grid)
            item[self.shares_key], item[self.notes_key], item[self.drawn_key] = shares, regions.notes, regions
            drawn = drawn_shares(regions, tiles.grid)
            known = known_in(shares, drawn, self.present_from) if self.sparse else None
            item[self.tiles_key] = replace(tiles, present=present_in(shares, self.present_from), known=known)
        return item
