"""Model card of a segmenter: training data, licence, scores and use."""

from collections.abc import Mapping, Sequence
from typing import Any

from qaclims_path.models.segmenters.spec import BACKGROUND, SegmenterSpec

NOT_STATED = "not stated"
HEAD = """---
license: other
library_name: {library}
pipeline_tag: image-segmentation
tags: [semantic-segmentation, weakly-supervised, {domain}]
---
"""


def model_card(spec: SegmenterSpec) -> str:
    """Model card in Markdown, with the header that the hub reads."""
    about = spec.about
    title = about.get("title") or about.get("dataset") or "images"
    domain = "histopathology" if about.get("domain") == "pathology" else "computer-vision"
    parts = [
        HEAD.format(library="qaclims_path", domain=domain) + f"# {spec.architecture} on {_line(title)}",
        f"**{_line(spec.warning)}**" if spec.warning else "",
        f"Labels every pixel as one of {len(spec.channels)} classes. Encoder: {spec.encoder.source}.",
        _table(
            ("class", "name", "code", "colour"),
            [(each.name, each.display, each.code, "#{:02x}{:02x}{:02x}".format(*each.color)) for each in spec.channels],
        ),
        "## Data and licence",
        _bullets(
            {
                "Data set": about.get("dataset"),
                "Trained on": about.get("trained_on"),
                "Organ": about.get("organ"),
                "Stain": about.get("stain"),
                "Licence of the data": about.get("licence"),
                "Citation": about.get("citation"),
                "Pixel size": f"{spec.mpp:g} um per pixel" if spec.mpp else None,
            }
        ),
        "The weights were trained on these data: check that the licence allows your use.",
        "## Scores",
        _scores(about),
        "## Use",
        _use(spec),
        "Not a medical device: for research only." if about.get("domain") == "pathology" else "",
        *([_bullets_of(about["notes"])] if about.get("notes") else []),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(about: Mapping[str, Any]) -> str:
    """Return the protocol, and a table with one row per evaluation."""
    protocol = f"Trained for the protocol `{about.get('protocol', NOT_STATED)}`."
    rows = [_row(score) for score in about.get("scores", ())]
    if not rows:
        return f"{protocol} Not scored yet."
    return f"{protocol} Fractions of 1, with 95 % intervals if known.\n\n" + _table(
        ("split", "protocol", "gate", "dense CRF", "images", "mean IoU", "mean Dice", "IoU of classes"), rows
    )


def _row(score: Mapping[str, Any]) -> tuple[object, ...]:
    interval = score.get("miou_interval")
    miou = _number(score.get("miou")) + (f" ({_number(interval[0])} to {_number(interval[1])})" if interval else "")
    classes = ", ".join(f"{name} {_number(iou)}" for name, iou in score.get("per_class", {}).items())
    facts = tuple(score.get(key, NOT_STATED) for key in ("split", "protocol", "gate", "crf", "images"))
    return (*facts, miou, _number(score.get("mean_dice")), classes)


def _use(spec: SegmenterSpec) -> str:
    background = (
        "Background is a class of its own."
        if spec.has_background
        else f"There is no channel for {BACKGROUND}: every pixel gets a class, also white glass; segment only tissue."
    )
    return (
        "```python\nfrom qaclims_path.models.segmenters.segmenter import Segmenter\n\n"
        'segmenter = Segmenter.from_pretrained("owner/name")\n'
        "logits = segmenter(images)  # images: B 3 H W, red green blue in 0..1; logits: B K H W\n```\n\n"
        f"Or `qaclims segment owner/name SLIDE --out DIR`. {background}"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_line(cell) for cell in line)} |" for line in lines)


def _bullets(facts: Mapping[str, object]) -> str:
    return "\n".join(f"- {name}: {_line(value or NOT_STATED)}" for name, value in facts.items())


def _bullets_of(lines: Sequence[object]) -> str:
    return "## Notes\n\n" + "\n".join(f"- {_line(line)}" for line in lines)


def _line(value: object) -> str:
    """Return the text on one line, with the marks of tables and tags escaped."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "-"
