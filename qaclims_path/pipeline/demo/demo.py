"""Demo for new users: run the method on painted slides, without data or downloads.

Slides are painted, tiled and labelled by their annotations; a question-answering model is asked about every tile; maps
are trained with several methods and refined, and segmenters are trained on the masks; all are scored on slides of other
patients, and one of these slides is segmented. Each part is a stage of the package, so an interrupted demo continues.
"""

import resource
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from qaclims_path.compute.devices import device_of, fastest_precision
from qaclims_path.config import read_yaml
from qaclims_path.data.cards import load_card
from qaclims_path.data.phantoms.slide import PhantomSpec
from qaclims_path.data.phantoms.splits import DEMO
from qaclims_path.data.phantoms.write import write_slide
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import QaclimsError
from qaclims_path.files.atomic import write_text
from qaclims_path.files.json_files import read_object
from qaclims_path.files.made_with import INDEX
from qaclims_path.files.tables import write_csv
from qaclims_path.pipeline.corpus.build import build_corpus
from qaclims_path.pipeline.demo.pace import Part, Say, do_parts, measured_pace
from qaclims_path.pipeline.demo.size import CONTROLS, ROWS, SUPERVISED, Size, mark_folder, settings_for
from qaclims_path.pipeline.inference.cohort import CohortRow
from qaclims_path.pipeline.inference.inputs import SegmentInputs
from qaclims_path.pipeline.inference.segment import segment
from qaclims_path.pipeline.run.compare import compare
from qaclims_path.pipeline.run.memory import peak_mib
from qaclims_path.pipeline.run.options import RunOptions, load_run
from qaclims_path.pipeline.run.pipeline import RunReport, do_run
from qaclims_path.pipeline.run.report import SLIDES as SEGMENTED
from qaclims_path.pipeline.run.report import write_run_report
from qaclims_path.pipeline.run.stages import read_records
from qaclims_path.pipeline.run.steps import CORPUS, REPORT, Run
from qaclims_path.pipeline.tiling.options import TileOptions
from qaclims_path.pipeline.tiling.report import SlideLine
from qaclims_path.pipeline.tiling.tile import TileInputs, tile
from qaclims_path.report.comparison import CompareReport

START, BASE, BEST = "cam", "cam+", "qa-clims-path"
TRUTH = ("split=test", "seg.split=test", "seg.truth=true", f"seg.method={SUPERVISED}", "evaluate.what=[seg]")
MPP = 0.5


@dataclass(frozen=True)
class DemoReport:
    """Results of the demo, with time and memory.

    Attributes:
        paths: Files and folders by name.
        slide: Name of the slide that was segmented.
        comparison: Every method, scored on the slides of the held-out patients.
        cpu_seconds: User and system time of this call and its workers, without earlier, interrupted ones.
        peak_mib: Peak memory.
    """

    paths: dict[str, Path]
    slide: str
    comparison: CompareReport
    cpu_seconds: float
    peak_mib: float

    def as_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        paths = {name: str(path) for name, path in self.paths.items()}
        return {**asdict(self), "paths": paths, "comparison": self.comparison.as_json()}


@dataclass
class Demo:
    """Parts of the demo; each does only its unfinished work.

    Attributes:
        out: Folder of the demo.
        size: Size of the demo.
        seed: Seed of tissue and trainings.
        say: Receives a line per part.
    """

    out: Path
    size: Size
    seed: int
    say: Say

    def parts(self) -> Iterator[Part]:
        """List the parts, each with its description and estimated seconds on one core."""
        size = self.size
        yield f"paint the slides of {size.patients} patients", 0.1 * size.pixels, self.paint
        yield "cut and label tiles, with masks for the held-out patients", 0.1 * size.pixels, self.tile
        yield "ask the answerer about every tile", 0.1 * size.tiles, self.ask
        for row in size.rows:
            yield f"{row}: maps, masks, segmenter, scores", size.seconds_of(row), partial(self.train, row)
        yield "segment a whole slide", 8, self.segment

    def paint(self) -> None:
        """Paint slides with annotations and truth, and write lists with the split of each patient."""
        names = DEMO.patients(self.size.patients)
        for number, name in enumerate(names):
            stain, side = DEMO.stains[number % len(DEMO.stains)], self.size.side
            if not (self.slides / f"{name}.tiff").exists():
                write_slide(self.slides, name, PhantomSpec(DEMO.seed + self.seed, side, side, MPP, name, stain))
        for folder, split in ((self.tiles, "train"), (self.truth, "test")):  # tiles of `test` get masks
            splits = [split] * self.size.train_patients + ["val"] * self.size.held_out_patients
            rows = [{"slide": f"{n}.tiff", "patient": n, "split": part} for n, part in zip(names, splits, strict=True)]
            write_csv(self.slides / f"{folder.name}.csv", rows, ("slide", "patient", "split"))

    def tile(self) -> None:
        """Make data sets: image-level labels to train on, masks to score against, texts of the classes."""
        self._tile(self.tiles)
        if SUPERVISED in self.size.rows:
            self._tile(self.truth)

    def _tile(self, folder: Path) -> None:
        size = self.size
        meaning: dict[str, Any] = {"annotations": "complete", "masks": True}  # all tissue is painted, and drawn
        options = TileOptions(mpp=MPP, size=size.tile, stride=size.stride, write="png", seed=self.seed, **meaning)
        report = tile(TileInputs((str(self.slides / f"{folder.name}.csv"),), labels=self.slides), folder, options)
        self._check_slides(report.slides)
        tree = read_yaml(folder / "card.yaml")
        painted = load_card("phantom")
        known = {each.name: each for each in painted.classes}
        words = {"display", "synonyms", "prompts", "definition"}
        tree |= {"name": "demo", "title": "Painted slides of the demo", "demonstration": painted.demonstration}
        tree["classes"] = [
            {**each, **known[each["name"]].model_dump(mode="json", include=words)} for each in tree["classes"]
        ]
        write_text(self._card(folder), yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))

    def ask(self) -> None:
        """Ask about the training tiles; all rows share the answers."""
        corpus = self.options(BEST).corpus
        if corpus is None:
            return
        report = build_corpus(corpus, self.tiles, self.corpus)
        if report.failures:
            raise QaclimsError(
                f"{report.failed} of {report.images} tiles could not be asked about, first {report.failures[0]} "
                f"Remove {self.tiles} and {self.corpus}, and run the demo again: it makes them again."
            )

    def train(self, row: str) -> None:
        """Run one method."""
        if row == START and self.start is None:  # its segmenter starts from its maps, as all others do
            self._run(row, only="cam")
        self._run(row)

    def _run(self, row: str, *, only: str | None = None) -> None:
        options = self.options(row)
        data = self.truth if row == SUPERVISED else self.tiles
        corpus = self.corpus if options.corpus is not None else None
        running = RunSettings(precision=fastest_precision(device_of("auto")), loggers=("csv",), workers=0)
        run = Run(options, data, self.runs / row, corpus, running=running)
        _check_scored(do_run(run, only=only, say=self._say_less), data)

    def segment(self) -> None:
        """Segment a slide of a held-out patient, and add it to the page of the run."""
        run = self.runs / BEST
        report = segment(run, SegmentInputs((str(self.slides / f"{self.slide}.tiff"),)), run / SEGMENTED)
        self._check_slides(report.rows)
        write_run_report(run, self.tiles, corpus=self.corpus)

    def options(self, row: str) -> RunOptions:
        """Read the recipe of a row, in the size of the demo."""
        first = row == START
        if row == SUPERVISED:
            changed = settings_for(self.size, self._card(self.truth), self.seed, start=self.start, first=False)
            return load_run(f"phantom/{START}", [*changed, *TRUTH])
        changed = settings_for(self.size, self._card(self.tiles), self.seed, start=self.start, first=first)
        return load_run(f"phantom/{row}", changed)

    @property
    def start(self) -> Path | None:
        """Network of the plain maps that all rows start from; None before it is trained."""
        return self.runs / START / "cam" if _is_done(self.runs / START, "cam") else None

    @property
    def slides(self) -> Path:
        """Folder of the painted slides."""
        return self.out / "slides"

    @property
    def tiles(self) -> Path:
        """Folder of the data set."""
        return self.out / "tiles"

    @property
    def truth(self) -> Path:
        """Folder of the same tiles with masks for all of them, used by the supervised control only."""
        return self.out / "truth"

    def _card(self, folder: Path) -> Path:
        """Return the card of a data set with texts of the classes."""
        return self.out / f"{folder.name}.yaml"

    @property
    def corpus(self) -> Path:
        """File of answers."""
        return self.out / CORPUS

    @property
    def runs(self) -> Path:
        """Folder with a run per row."""
        return self.out / "runs"

    @property
    def slide(self) -> str:
        """Name of the slide of the first held-out patient."""
        return DEMO.patients(self.size.train_patients + 1)[-1]

    def _check_slides(self, lines: Sequence[SlideLine] | Sequence[CohortRow]) -> None:
        for line in lines:
            if line.status == "failed":
                raise QaclimsError(
                    f"The slide {line.path} failed: {line.error} If it is damaged, remove {self.slides / line.name}*, "
                    "and run the demo again: it paints that slide again."
                )

    def _say_less(self, line: str) -> None:
        if "skipped" not in line:  # by an earlier demo or part
            self.say(f"  {line}")


def demo(out: Path, *, size: Size, seed: int = 0, say: Say = lambda _: None) -> DemoReport:
    """Run the demo, or continue an interrupted one.

    Args:
        out: Folder for everything the demo writes.
        size: `FULL` or `QUICK`, possibly with `CONTROLS` among the rows.
        seed: Seed of the tissue and of every training.
        say: Receives a line per part, with the estimated time that is left.
    """
    out = out.absolute()
    mark_folder(out, size, seed)
    work, before = Demo(out, size, seed, say), _cpu_seconds()
    do_parts(list(work.parts()), say, measured_pace())
    rows = [row for row in (*ROWS, *CONTROLS) if _is_done(work.runs / row, "evaluate")]  # also those of earlier demos
    paths = {
        "slides": work.slides,
        "tiles": work.tiles,
        "answers": work.corpus,
        "runs": work.runs,
        "page": work.runs / BEST / REPORT,
        "segmented": work.runs / BEST / SEGMENTED,
        "scores": out / "scores.csv",
    }
    against = BASE if BASE in rows else START
    table = compare([work.runs / row for row in rows], against=against, out=paths["scores"])
    return DemoReport(paths, work.slide, table, _cpu_seconds() - before, peak_mib())


def _check_scored(report: RunReport, data: Path) -> None:
    """Refuse scores with missing predictions; every tile of the demo should have one."""
    if not report.missing:
        return
    run, remedy = Path(report.run), f"Remove {data} and {report.run}, and run the demo again: it makes them again."
    known = [read_object(index, remedy).get("failed", {}) for index in sorted(run.rglob(INDEX))]
    first = next((f"{image}: {why}" for failed in known for image, why in failed.items()), f"see {run / REPORT}.")
    raise QaclimsError(f"{report.missing} images have no prediction in {run}, first {first} {remedy}")


def _is_done(run: Path, stage: str) -> bool:
    record = read_records(run).get(stage)
    return record is not None and record.state == "done"


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
