"""Results of the demo, and the next commands."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from rich.text import Text

RESULTS = {
    "slides": "Painted slides with truth and annotations, for QuPath",
    "tiles": "Tiles with labels (a data set)",
    "answers": "Answers about each tile",
    "runs": "One folder per method: maps, masks, segmenter, scores",
    "page": "The report of qa-clims-path, a page to open",
    "segmented": "A whole slide, segmented: class map, GeoJSON, overlay, areas",
    "scores": "All scores",
}


def results_part(paths: Mapping[str, Path], embedded: str, cpu_seconds: float, peak_mib: float) -> list[Text]:
    """List the results, the time and memory they took, and the next commands.

    Args:
        paths: Paths of the results by the names of `RESULTS`.
        embedded: Note on the models that come with the package.
        cpu_seconds: User and system time.
        peak_mib: Largest memory in MiB.
    """
    page, answers, slides = (shlex.quote(str(paths[name])) for name in ("page", "answers", "slides"))
    note = (
        ". The numbers show that the method runs, and how its parts compare on slides of the generator that its judge "
        "was trained on; they say nothing about tissue. The networks of all rows start from the weights of the judge's "
        "image tower."
    )
    commands = (
        f"qaclims corpus show {answers} --html answers.html",
        f"qaclims slides info {slides}/DM0001.tiff",
        "qaclims slides tile YOUR-SLIDES --out tiles --mpp 0.5 --labels YOUR-ANNOTATIONS --annotations sparse --masks",
        "qaclims datasets check --card tiles/card.yaml --root tiles",
        "qaclims run folder/qa-clims-path --card tiles/card.yaml --root tiles --out run",
    )
    lines = (
        "",
        *(f"{title}:  {paths[name]}" for name, title in RESULTS.items()),
        "",
        f"This took {cpu_seconds / 60:.1f} minutes of processor time (user and system) and {peak_mib:.0f} MiB.",
        f"Open {page} in a browser, and the slides and GeoJSON files in QuPath. Next:",
        *(f"  {command}" for command in commands),
    )
    return [Text.assemble("Judge and answerer: ", (embedded, "bold"), note), *map(Text, lines)]
