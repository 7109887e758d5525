"""A run folder of small real parts, and a real browser without a driver package."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.ndimage import gaussian_filter

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.data.record import classes_in, truth_of
from qaclims_path.data.split import open_split
from qaclims_path.engine.loggers import CsvLogger
from qaclims_path.files.atomic import write_json
from qaclims_path.files.images import read_image, write_image, write_mask
from qaclims_path.files.maps import ImageMaps, MapWriter
from qaclims_path.language.corpus import CorpusAnswer, Entry
from qaclims_path.language.corpus_writer import CorpusWriter
from qaclims_path.pipeline.datasets.fake import make_fake
from qaclims_path.pipeline.datasets.options import FakeOptions
from qaclims_path.pipeline.evaluation.evaluate import evaluate
from qaclims_path.pipeline.evaluation.stages import score_cams
from qaclims_path.pipeline.run.stages import Stage, execute, plan

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NASTY = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">'\"&"
SPLIT, PROTOCOL = "val", "tpro"
SAID = {
    "tumor": ("nests of atypical cells", "crowded dark nuclei", "irregular glands"),
    "stroma": ("pink collagen bundles", "spindle shaped fibroblasts", "loose fibrous tissue"),
    "lymphocyte": ("small round dark nuclei", "dense infiltrate of immune cells", "scant cytoplasm"),
    "necrosis": ("structureless pink debris", "nuclear dust", "ghost cells"),
}
PUBLISHED = [
    {"method": method, "source": "a made-up table, for this test", "split": SPLIT, "what": what, "protocol": PROTOCOL}
    | {"gate": gate, "miou": miou, "dice": miou + 12, "dice_made": "per_class_mean", "per_class": dict(per_class)}
    for what, gate in (("seg", "none"), ("masks", "oracle"), ("cams", "oracle"))
    for method, miou, per_class in (
        ("Method A", 61.2, {"tumor": 71.0, "stroma": 66.5, "lymphocyte": 54.1, "necrosis": 53.2}),
        ("Method B", 68.9, {"tumor": 77.4, "stroma": 71.2, "lymphocyte": 61.8, "necrosis": 65.2}),
        ("Method C", 55.0, {}),
    )
]


def noisy(truth, classes, rng, *, blur, noise):
    """Scores of classes (K H W in 0..1) that know the truth only vaguely."""
    kinds = np.stack([truth == index for index in classes]).astype(np.float32)
    soft = np.stack([gaussian_filter(one, blur) for one in kinds])
    soft += noise * np.stack([gaussian_filter(rng.normal(size=truth.shape), blur) * blur * 2 for _ in classes])
    return np.clip(soft / np.maximum(soft.max((1, 2), keepdims=True), 1e-6), 0, 1)


def write_run(folder: Path, images: int = 9) -> tuple[Path, Path]:
    """A finished run below a folder, and the data that it is of."""
    root, run = folder / "data", folder / "run"
    make_fake(load_card("phantom"), root, FakeOptions(images=images, seed=3))
    card_file = folder / "demo.yaml"
    own = {"extends": "phantom", "name": "tissue-demo", "protocols": [PROTOCOL], "published": PUBLISHED}
    card_file.write_text(yaml.safe_dump(own))
    card, rng = load_card(card_file), np.random.default_rng(1)
    records = list_records(card, root, SPLIT)
    config = {"dataset": str(card_file), "method": "qa-clims-path", "judge": {"id": "tiny-judge"}}
    config |= {
        "seed": 0,
        "cam": {
            "network": {"backbone": "resnet50"},
            "train": {"epochs": 8, "lr": 3e-4, "betas": [0.9, 0.999]},
        },
    }
    run.mkdir()

    def cam() -> None:
        (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        facts = {"python": "3.11", "packages": {"torch": "2.6", "timm": "1.0"}, "device": "cpu", "cores": 2}
        write_json(run / "environment.json", facts)
        write_log(run / "cam", ["loss", "foreground", "background"], ["area", "background_similarity"], rng)

    def cams() -> None:
        write_cams(run, card, records, rng)
        score_cams(run / "cams" / SPLIT, open_split(card, root, SPLIT))

    def masks() -> None:
        folder = run / "masks" / SPLIT
        write_labels(folder / "labels", card, records, rng, blur=7, noise=1.6)
        evaluate(folder / "labels", card, root, SPLIT, made_with_gate="oracle", out=folder, what="masks")

    def seg() -> None:
        write_log(run / "seg", ["loss", "dice"], [], rng)
        folder = run / "seg" / "predictions" / SPLIT
        write_labels(folder, card, records, rng, blur=6, noise=1.1)
        for record in records:
            write_mask(
                folder / "confidence" / f"{record.id}.png",
                np.linspace(60, 255, 56 * 56).reshape(56, 56).astype(np.uint8),
            )
        evaluate(folder, card, root, SPLIT, made_with_gate="none", out=folder / "scores", what="seg")

    def evaluated() -> None:
        folders = (
            run / "cams" / SPLIT / "scores",
            run / "masks" / SPLIT,
            run / "seg" / "predictions" / SPLIT / "scores",
        )
        write_json(run / "metrics.json", [json.loads((folder / "metrics.json").read_text())[0] for folder in folders])

    does = {"corpus": lambda: write_corpus(run / "corpus.jsonl", card, list_records(card, root, "train"))}
    does |= {"cam": cam, "cams": cams, "masks": masks, "seg": seg, "evaluate": evaluated}
    names = list(does)
    stages = [Stage(name, name, 1, {}, tuple(names[:at]), (), does[name]) for at, name in enumerate(names)]
    execute(plan(stages, run), run, lambda _: None)
    write_slides(run / "slides", records)
    return run, root


def write_log(folder: Path, losses, by_class, rng) -> None:
    logger = CsvLogger(folder, 0, {})
    for step in range(1, 161):
        fade = 0.5 + 2 * np.exp(-step / 40)
        values = {name: fade * (1 + 0.2 * rng.normal()) / (1 + at) for at, name in enumerate(losses)}
        values |= {f"{kind}/{name}": 0.3 + 0.1 * rng.normal() for kind in by_class for name in SAID}
        logger.numbers(step, (step - 1) // 20, {**values, "lr": 3e-4 * (1 - step / 160), "images_per_s": 41.5})
        if step % 20 == 0:
            means = {f"epoch/{name}": fade / (1 + at) for at, name in enumerate(losses)}
            means |= {f"epoch/{kind}/{name}": 0.3 + 0.02 * rng.normal() for kind in by_class for name in SAID}
            logger.numbers(step, step // 20, means)


def write_cams(run: Path, card, records, rng) -> None:
    writer = MapWriter(run / "cams" / SPLIT, card.names, {"dataset": card.name, "split": SPLIT, "gate": "oracle"})
    made = []
    for record in records:
        truth = truth_of(card, record)
        present = classes_in(card, truth)
        maps = noisy(truth, present, rng, blur=9, noise=1.0)[:, ::4, ::4]
        made.append(ImageMaps(record.id, present, truth.shape, maps.astype(np.float16), (0.5,) * len(card.names)))
    writer.write(0, made)
    writer.finish(1)


def write_labels(folder: Path, card, records, rng, *, blur: float, noise: float) -> None:
    for row, record in enumerate(records):
        truth = truth_of(card, record)
        kinds = np.flatnonzero(np.bincount(truth.ravel(), minlength=6)[:5])
        scores = noisy(truth, kinds, rng, blur=blur, noise=noise * (0.3 + 1.4 * row / len(records)))
        write_mask(
            folder / f"{record.id}.png", card.encode(kinds[scores.argmax(0)].astype(np.uint8)), card.code_palette
        )


def write_corpus(path: Path, card, records) -> None:
    with CorpusWriter(path) as writer:
        for number, record in enumerate(records):
            writer.write([_entry(record.id, card.names[index], number) for index in record.present])
        writer.finish()


def _entry(image: str, label: str, number: int) -> Entry:
    terms = SAID[label][number % 3 :] + (NASTY,) * (number == 0)
    about = tuple(CorpusAnswer(f"What does the {label} look like?", term, term, -0.3) for term in terms)
    around = (
        CorpusAnswer("What surrounds it?", "The adipose tissue", "adipose tissue", -0.5),
        CorpusAnswer("And else?", "no", ""),
    )
    return Entry(image, label, about, around, {"answerer": "retrieval", "model": "tiny-judge"})


def write_slides(folder: Path, records) -> None:
    tiles = [read_image(Path(str(record.image))) for record in records[:6]]
    sheet = np.concatenate([np.concatenate(tiles[:3], 1), np.concatenate(tiles[3:6], 1)])
    write_image(folder / "PH9001-overlay.png", sheet)
    rows = "slide,patient,tumor_mm2,tumor_percent,mpp,unused,failed\nPH9001,PH9,2.5,41.0,0.5,,\n"
    rows += "PH9002,PH9,11.2536,8.04,0.5,,\nPH9010,PH9,0.75,12.0,0.5,,<b>no tissue</b>\n"
    (folder / "cohort.csv").write_text(rows)


@pytest.fixture(scope="session")
def made_run(tmp_path_factory):
    """Folder of a finished run, and folder of its data; tests that change anything copy it."""
    return write_run(tmp_path_factory.mktemp("report"))


class Browser:
    """Headless Chromium at the other end of two pipes.

    Attributes:
        events: Everything it said since the last page was opened.
    """

    def __init__(self, folder: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        start = "import os, sys; a, b = map(int, sys.argv[1:3]); a = os.dup(a) if a == 4 else a; "
        start += "os.dup2(b, 4) if a != 4 else None; os.dup2(a, 3); os.execvp(sys.argv[3], sys.argv[3:])"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"]
        options += ["--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", start, str(to_browser), str(from_browser), CHROMIUM, *options],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._left, self._number, self._session, self.events = b"", 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params):
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, found["error"]
                return found["result"]
            self.events.append(found)

    def _next(self, seconds: float = 60):
        end = time.monotonic() + seconds
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser says nothing"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has gone"
            self._left += part
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def open(self, page: Path, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Show a page and wait until it is there."""
        wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        self.ask("Emulation.setEmulatedMedia", features=[{"name": key, "value": wishes[key]} for key in wishes])
        phone = width < 600
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script: str):
        """Return the result of a script on the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def key(self, key: str) -> None:
        """Press a key."""
        code = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "End": 35, "Home": 36}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def click(self, x: float, y: float) -> None:
        """Press the mouse at a point of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path) -> None:
        """Save the whole page as PNG."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def said(self, *methods: str):
        """Events of some kinds since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def quiet(self) -> bool:
        """Whether nothing was complained about, and nothing was asked for beside the page."""
        logged = self.said("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        asked = [found["request"]["url"] for found in self.said("Network.requestWillBeSent")]
        outside = [url for url in asked if not url.startswith(("data:", "file:"))]
        return not logged and not outside and sum(url.startswith("file:") for url in asked) == 1

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One browser for all tests."""
    if CHROMIUM is None:
        pytest.skip("needs chromium (Debian package `chromium`)")
    started = Browser(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()
