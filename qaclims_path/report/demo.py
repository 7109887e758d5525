"""What the demo made, and what to do next."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from rich.text import Text

TOLD = {
    "slides": "Painted slides with truth and annotations, for QuPath",
    "tiles": "Tiles with labels (a data set)",
    "answers": "What the answerer said about each tile",
    "runs": "One folder per method: maps, masks, segmenter, scores",
    "page": "The report of qa-clims-path, a page to open",
    "segmented": "A whole slide, segmented: class map, GeoJSON, overlay, areas",
    "scores": "All scores",
}


def places_part(places: Mapping[str, Path], embedded: str, cpu_seconds: float, peak_mib: float) -> list[Text]:
    """Where everything lies, what it cost, and the next commands.

    Args:
        places: By the names of `TOLD`.
        embedded: What has to be said of the models that come with the package.
        cpu_seconds: User and system time.
        peak_mib: Largest memory.
    """
    page, answers, slides = (shlex.quote(str(places[name])) for name in ("page", "answers", "slides"))
    told = (
        ". The numbers say that the method runs, and how its parts compare on slides of the generator that its judge "
        "has learnt from; they say nothing about tissue. The networks of all rows begin with the weights of the "
        "judge's own image tower."
    )
    train = "qaclims run bcss-wsss/qa-clims-path --root tiles --out run --set dataset=tiles/card.yaml"
    commands = (
        f"qaclims corpus show {answers} --html answers.html",
        f"qaclims slides info {slides}/DM0001.tiff",
        "qaclims slides tile YOUR-SLIDES --out tiles --mpp 0.5 --size 224 --labels YOUR-ANNOTATIONS --masks",
        "qaclims datasets check --card tiles/card.yaml --root tiles",
        f"{train} --set judge.id=hf-hub:wisdomik/QuiltNet-B-32",
    )
    lines = (
        "",
        *(f"{what}:  {places[name]}" for name, what in TOLD.items()),
        "",
        f"This took {cpu_seconds / 60:.1f} minutes of processor time (user and system) and {peak_mib:.0f} MiB.",
        f"Open {page} in a browser, and the slides and GeoJSON files in QuPath. Next:",
        *(f"  {command}" for command in commands),
    )
    return [Text.assemble("Judge and answerer: ", (embedded, "bold"), told), *map(Text, lines)]
