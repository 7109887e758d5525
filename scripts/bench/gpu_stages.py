"""Stages without training for `gpu.py`: each command on painted data, beside the bare model on the same batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from bench.gpu_data import CARD, TEST, TRAIN, Painted
from bench.gpu_measure import Meter, Row
from bench.segment import task_of, taught
from qaclims_path.compute.devices import dtype_of, fastest_precision
from qaclims_path.data.cards import load_card
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.data.split import open_split
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.inference import for_inference
from qaclims_path.models.refiners import RefineSettings, build_refiner
from qaclims_path.models.segmenters import predicting
from qaclims_path.models.segmenters.segmenter import Segmenter
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.cam.maps import make_cams
from qaclims_path.pipeline.inference.model import SegmentModel
from qaclims_path.pipeline.inference.options import SegmentOptions
from qaclims_path.pipeline.inference.segment import BATCH as TILES
from qaclims_path.pipeline.inference.slides import segment_one
from qaclims_path.pipeline.masks.make import make_masks
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.segmenter.predict import predict
from qaclims_path.pipeline.segmenter.predict_options import PredictOptions

BATCH = 16  # images at most, the default of the commands
MAPS = 2  # maps of an image


@dataclass(frozen=True)
class Stages:
    """The stages, in the order in which they can be measured.

    Attributes:
        meter: Measures.
        folder: Folder for everything that they write.
        painted: Images.
        backbone: Name of the backbone of the maps and of the segmenter.
        side: Side of the slide in pixels.
        lessons: Steps that the segmenter is trained for, so that its maps are not noise.
    """

    meter: Meter
    folder: Path
    painted: Painted
    backbone: str
    side: int
    lessons: int
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def device(self) -> torch.device:
        """The device."""
        return self.meter.device

    @property
    def batch(self) -> int:
        """Images of a batch."""
        return min(BATCH, self.painted.images)

    def cams(self) -> Row:
        """Measure `cams` at one scale, with mirror images."""
        run, split = self._run(), open_split(CARD, self.painted.root, TRAIN)
        net = for_inference(CamNet.load(run), self.device, fastest_precision(self.device))
        return self._row(
            f"`cams`, {self.painted.size} px",
            lambda: make_cams(run, split, self._map_options, out=self._new()),
            self._repeated(lambda images: net(images).maps, 2 * self.batch),
        )

    def masks(self) -> Row:
        """Measure `masks` with pixel-adaptive refinement; the bare model is the refiner alone."""
        run, split = self._run(), open_split(CARD, self.painted.root, TRAIN)
        make_cams(run, split, self._map_options)
        cells = -(-self.painted.size // 16)
        refine = build_refiner("par", RefineSettings())
        maps = torch.rand(self.batch, MAPS, cells, cells, device=self.device)
        present = torch.ones(self.batch, MAPS, dtype=torch.bool, device=self.device)
        options = MaskOptions(refiner="par", batch=self.batch)
        return self._row(
            f"`masks` with `par`, {self.painted.size} px",
            lambda: make_masks(run, split, options, out=self._new(), device=str(self.device)),
            self._repeated(lambda images: refine(images, maps, present), self.batch),
        )

    def predict(self) -> Row:
        """Measure `predict`."""
        model, split = self._model(), open_split(CARD, self.painted.root, TEST)
        options = PredictOptions(device=str(self.device), batch=self.batch)
        return self._row(
            f"`predict`, {self.painted.size} px",
            lambda: predict(model, split, options, out=self._new()),
            self._repeated(self._fast(model), self.batch),
        )

    def segment(self) -> Row:
        """Measure `segment`, from the file of a slide to map, confidence, outlines and overlay."""
        slide = write_slide(self._new(), "slide", PhantomSpec(7, self.side, self.side)).slide
        model = SegmentModel(self._model(), SegmentOptions(), str(self.device))
        tiles = TILES.get(self.device.type, TILES["cpu"])
        shapes: list[torch.Size] = []
        hook = model._loaded().register_forward_hook(lambda _, given, __: shapes.append(given[0].shape))
        segment_one(task_of(slide, self._new(), model.options), model, tiles)
        hook.remove()
        network = model._loaded()
        batches = {shape: torch.rand(shape, device=self.device) for shape in set(shapes)}

        @torch.no_grad()
        def bare() -> None:
            for shape in shapes:
                network(batches[shape])

        return self.meter.row(
            f"`segment`, slide of {self.side} px",
            lambda: segment_one(task_of(slide, self._new(), model.options), model, tiles),
            bare,
            kind="segment",
            images=sum(shape[0] for shape in shapes),
            batches=len(shapes),
        )

    @property
    def _map_options(self) -> MapOptions:
        return MapOptions(scales=(1.0,), device=str(self.device), batch=self.batch)

    def _run(self) -> Path:
        """Return the folder of a run with an untrained network."""
        run = self.folder / "run"
        if not run.is_dir():
            CamNet(self.backbone, load_card(CARD).names).save(run / "cam")
        return run

    def _model(self) -> Path:
        """Return the folder of a segmenter."""
        folder = self.folder / "segmenter"
        return folder if folder.is_dir() else taught(self.backbone, folder, self.lessons)

    def _fast(self, model: Path) -> Callable[[Tensor], Tensor]:
        precision = fastest_precision(self.device)
        return predicting.for_inference(Segmenter.from_pretrained(model), self.device, precision)

    def _repeated(self, model: Callable[[Tensor], object], batch: int) -> Callable[[], None]:
        """Return a call of the model for all images."""
        images = torch.rand(batch, 3, self.painted.size, self.painted.size, device=self.device)
        images = images.contiguous(memory_format=torch.channels_last)

        @torch.no_grad()
        def run() -> None:
            for _ in range(self._batches):
                model(images)

        return run

    @property
    def _batches(self) -> int:
        return -(-self.painted.images // self.batch)

    def _row(self, what: str, work: Callable[[], object], bare: Callable[[], None]) -> Row:
        return self.meter.row(what, work, bare, images=self.painted.images, batches=self._batches)

    def _new(self) -> Path:
        """Return a folder that does not exist yet, because a command does not repeat what is done."""
        return self.folder / f"out-{next(self._numbers)}"


def dtype(device: torch.device) -> torch.dtype:
    """Return the type of numbers that the fastest precision of a device computes with."""
    return dtype_of(fastest_precision(device), device)
