"""Train the embedded models from random weights: a judge and an answerer for phantom tissue.

Both are deterministic on one machine (one thread, fixed seeds). Tiles and intermediate weights stay in --work, and a
second call uses them again. The judge takes about five minutes of one core, the answerer a quarter of an hour.

Examples:
    python scripts/embedded/train.py judge --work work
    python scripts/embedded/train.py answerer --work work
    python scripts/embedded/train.py held-out --work work
    qaclims judge probe embedded --dataset phantom --root work/held-out --split val
    qaclims answerer probe blip:embedded --dataset phantom --root work/held-out
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from qaclims_path.assets import embedded_dir
from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import write_split
from qaclims_path.data.phantoms.splits import EMBEDDED, HELD_OUT, TRAINING
from qaclims_path.files.atomic import atomic_path, write_json, write_text
from qaclims_path.language.answerers.blip import CARD

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder is on the path, not the one above

from embedded.answerer import Schedule, exam, learn
from embedded.judge import Amount, make_judge
from embedded.truth import paint_tiles

ANSWERER_FILES = (
    "config.json",
    "model.safetensors",
    "processor_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
PATIENTS, EACH, EXAMINED = 200, 16, 20  # answerer: training patients, tiles of each, held-out patients
JUDGE_PAGE = """# Embedded judge

**{warning}**

An open_clip model with a `test_resnet` image tower (112 px of 1 um) and a two-layer text tower with its own vocabulary.

- Data: {trained_on}
- Held out: {count} tiles of other phantom slides, of stains that it has never seen ({slides}).
- Made by `python scripts/embedded/train.py judge`, which is `qaclims judge train` on these tiles.

| seen on the slides held out | named | balanced accuracy | right of {classes} | AUC |
|---|---|---|---|---|
{rows}

`qaclims judge probe embedded --dataset phantom --root DIR` measures this again; `python scripts/embedded/train.py
held-out` writes the tiles.

Limits: it knows nothing but the four tissues of the phantoms, as painted by this version, at about 1 um per pixel.
Regions of tumor are its weak side: it takes many of them for lymphocytes or stroma. What it says of real tissue means
nothing.
"""
ANSWERER_PAGE = """# Embedded answerer

**{warning}**

A `BlipForQuestionAnswering` of {parameters:.1f} million weights (112 px of 1 um, patches of 14 px, four layers of
vision, two that read and two that write), with {words} words.

- Data: {trained_on}
- Answers: terms of the lexicon `histology`, truthful by the masks of these slides: what the class looks like, what
  touches it, what else is there; "none" where there is nothing of the kind, "unknown" where the class is absent.
- Held out: {tiles} tiles of other phantom slides, of stains that it has never seen ({slides}); every question of the
  bank `histology` about every class, {questions} questions. An answer counts if it is one of the truthful ones, letter
  by letter.
- Made by `python scripts/embedded/train.py answerer`.

| questions | truthful answers |
|---|---|
{rows}

`python scripts/embedded/train.py exam` measures this again.

Limits: questions of the bank about the four tissues of the phantoms (and about "the tissue"), nothing else. What a
class looks like is answered from the question and the presence of the class, so these answers hardly differ between
tiles. What it says of real tissue means nothing.
"""


def judge(work: Path, out: Path) -> None:
    """Train the judge and write its folder."""
    notes = make_judge(work / "judge", out, Amount())
    scores = notes["held_out"]
    trials = {name: value for name, value in scores.items() if isinstance(value, dict)}
    rows = [_row(name, one) for name, one in trials.items()]
    classes = ", ".join(load_card("phantom").names)
    facts = {**notes, "slides": scores["slides"], "count": trials["whole"]["count"], "classes": classes}
    write_text(out / "README.md", JUDGE_PAGE.format(rows="\n".join(rows), **facts))
    print(json.dumps(scores, indent=1))


def answerer(work: Path, out: Path) -> None:
    """Train the answerer and write its folder."""
    schedule = Schedule()
    tiles = paint_tiles(TRAINING, PATIENTS, EACH, work / "answerer-train.npz")
    model, processor = learn(tiles, schedule, work)
    parameters = sum(value.numel() for value in model.parameters())
    with atomic_path(work / "answerer") as temporary:
        model.half().save_pretrained(temporary)
        processor.save_pretrained(temporary)
        for name in ANSWERER_FILES:
            if (temporary / name).is_file():
                with atomic_path(out / name) as copied:
                    copied.write_bytes((temporary / name).read_bytes())  # bytes only: a copy would keep the mode
    trained_on = (
        f"{len(tiles.pixels)} tiles of {PATIENTS} phantom slides ({', '.join(TRAINING.stains)}), their masks too; "
        f"{schedule.see} steps of seeing, {schedule.say} of answering, {schedule.images} tiles each."
    )
    write_json(out / CARD, {"warning": EMBEDDED, "trained_on": trained_on})
    examine(work, out, {"parameters": parameters / 1e6, "words": len(processor.tokenizer), "trained_on": trained_on})


def examine(work: Path, out: Path, facts: dict[str, Any]) -> None:
    """Measure the answerer on the held-out slides, and write card and page."""
    tiles = paint_tiles(HELD_OUT, EXAMINED, EACH, work / "answerer-held-out.npz")
    scores = exam(out, tiles)
    print(json.dumps(scores, indent=1))
    slides = f"stains {', '.join(HELD_OUT.stains)}"
    write_json(out / CARD, {"warning": EMBEDDED, **facts, "held_out": {"slides": slides, **scores}})
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in scores.items() if name != "questions")
    told = {**facts, "warning": EMBEDDED, "slides": slides, "tiles": len(tiles.pixels), "rows": rows}
    write_text(out / "README.md", ANSWERER_PAGE.format(questions=scores["questions"], **told))


def again(work: Path, out: Path) -> None:
    """Measure the embedded answerer again."""
    card = json.loads((out / CARD).read_text(encoding="utf-8"))
    examine(work, out, {name: card[name] for name in ("parameters", "words", "trained_on")})


def held_out(out: Path) -> None:
    """Write tiles of the held-out slides for `qaclims judge probe` and `qaclims answerer probe`.

    Both splits hold the same tiles: `val` with masks for the judge, `train` with labels in file names for the answerer.
    """
    card = load_card("phantom")
    with atomic_path(out) as temporary:
        temporary.mkdir(parents=True)
        for name in ("train", "val"):
            write_split(card, temporary, name, HELD_OUT.tiles(Amount.examined, Amount.each))


def _row(name: str, trial: dict[str, Any]) -> str:
    """Return a line of the judge's table."""
    auc = ", ".join("-" if value is None else f"{value:.2f}" for value in trial["auc"])
    accuracy, right = f"{trial['balanced_accuracy']:.3f}", ", ".join(trial["right"])
    return f"| {name} | {trial['named']} | {accuracy} | {right} | {auc} |"


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("judge", "answerer", "exam", "held-out"))
    parser.add_argument("--work", type=Path, required=True, help="folder for tiles and checkpoints")
    parser.add_argument("--out", type=Path, default=embedded_dir(), help="folder of both models' folders")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    if given.what == "judge":
        judge(given.work, given.out / "judge")
    elif given.what == "answerer":
        answerer(given.work, given.out / "answerer")
    elif given.what == "exam":
        again(given.work, given.out / "answerer")
    else:
        held_out(given.work / "held-out")


if __name__ == "__main__":
    main()
