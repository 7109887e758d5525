"""Commands of docs/benchmarks.md, run on made-up data of the same layout with tiny networks."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qaclims_path.cli.app import app

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDERS = {
    "BCSS": "bcss",
    "BCSS-WSSS": "bcss-wsss",
    "LUAD-HistoSeg": "luad-histoseg",
    "VOC2012": "voc2012",
    "COCO2014": "coco2014",
}
TINY = (
    "cam.network.backbone=test_resnet", "cam.network.weights=none", "cam.augment.size=32", "cam.augment.long=[40,48]",
    "cam.train.epochs=1", "cam.train.batch=2", "cam.train.accumulate=1", "cam.init.train={epochs: 1, batch: 2}",
    "cams.scales=[1.0]", "evaluate.scales=[1.0]", "masks.boundary.train={epochs: 1, batch: 2}",
    "seg.network={encoder: test_resnet, weights: none, architecture: unet}", "seg.augment.size=32",
    "seg.train.epochs=1", "seg.train.batch=2",
)  # fmt: skip
PUBLISHED = (  # the published segmenters stay, and what their authors give away is not there
    *(each for each in TINY if not each.startswith("seg.")), "cam.init.start=cam", "seg.augment.size=33",
    "masks.boundary={backbone: test_resnet, weights: none, size: 64}", "seg.train={steps: 1, batch: 2}",
    "seg.network={encoder: test_resnet, weights: none}",
)  # fmt: skip


def blocks() -> list[str]:
    return BLOCK.findall((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Longer than the 32 tokens")  # a BLIP with random weights goes on and on
@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.split()[2])
def test_the_commands_work(
    block: str, judge: Path, marked_blip_folder: Path, fake, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in block.splitlines():
        _, *words = [str(judge) if word.startswith("hf-hub:") else word for word in shlex.split(line)]
        for index, word in enumerate(words):
            if word.startswith("/data/"):
                words[index] = str(fake(FOLDERS[word.removeprefix("/data/")]))
        if words[0] == "run":
            blip = words[1].startswith(("voc", "coco")) or "kind: blip" in line
            small_blip = f"corpus.answerer={{kind: blip, model: {marked_blip_folder}, size: 32}}"
            tiny = PUBLISHED if "-published" in words[1] else TINY
            settings = (*tiny, f"judge.id={judge}", small_blip if blip else "corpus.lexicon=histology")
            words += ["--precision", "fp32", "--logger", "csv"]
            words += [part for setting in settings for part in ("--set", setting)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{line}\n{done.output[-3000:]}\n{done.exception!r}"
        if words[0] == "run":
            assert (tmp_path / words[words.index("--out") + 1] / "report.html").is_file(), line
