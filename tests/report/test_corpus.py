"""The page of a corpus: answers are escaped, nothing is loaded, a real browser draws it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from qaclims_path.language.corpus import CorpusAnswer, Entry
from qaclims_path.report.corpus import Page, Part, Shown, corpus_page, thumbnail

NASTY = '<script>document.title="taken"</script><img src=x onerror="document.title=1">"\'&{{ 7 * 7 }}'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def page_of(text, picture=""):
    said = (
        CorpusAnswer(text, text, text, -0.25),
        CorpusAnswer("q", text, "", None, similarity=0.1),
        CorpusAnswer("", "", text, source="card"),
    )
    part = Part(
        title=text,
        color=(200, 30, 40),
        definition=text,
        pairs=12345,
        failed=2,
        foreground=((text, 20), ("gland", 5)),
        background=(),
        examples=(Shown(Entry(text, text, said, said[:1], {text: text}), picture), Shown(Entry("b", "b", ()))),
    )
    return corpus_page(Page(text, text, {"answerer": text}, (part,), pictured=True))


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def parsed(html):
    tags = Tags()
    tags.feed(html)
    return tags


def test_answers_stay_text():
    nasty, harmless = parsed(page_of(NASTY)), parsed(page_of("x"))
    assert nasty.tags == harmless.tags
    assert "script" not in nasty.tags
    assert [name for name, _ in nasty.attributes] == [name for name, _ in harmless.attributes]
    assert nasty.text.count(NASTY) > 8
    assert "\x1b" not in page_of("red\x1b[31m\x00\u202e")


def test_the_page_loads_nothing():
    html = page_of("gland", thumbnail(np.zeros((300, 200, 3), np.uint8)))
    assert not re.findall(r"(?:https?:)?//\w", re.sub(r"base64,[\w+/=]+", "", html))
    assert "@import" not in html
    assert "default-src 'none'" in html
    sources = [value for name, value in parsed(html).attributes if name in ("src", "href")]
    assert all(value.startswith(("data:image/jpeg;base64,", "#class-")) for value in sources)


def test_thumbnails_are_small():
    pixels = np.random.default_rng(0).integers(0, 255, (1000, 800, 3)).astype(np.uint8)
    assert len(thumbnail(pixels)) < 60_000
    assert len(thumbnail(pixels[:3, :2])) < 2_000


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_draws_it_in_light_and_dark(tmp_path):
    """Scripts in answers do nothing, and dark is dark."""
    html = tmp_path / "page.html"
    html.write_text(page_of(NASTY, thumbnail(np.full((200, 200, 3), 180, np.uint8))), encoding="utf-8")
    browser = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    dom = subprocess.run(
        [*browser, "--dump-dom", html.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    assert "<title>taken" not in dom.stdout
    assert "<script" not in dom.stdout.replace("&lt;script", "")
    means = {}
    for name, setting in (("dark", 0), ("light", 1)):
        png = tmp_path / f"{name}.png"
        shot = [
            *browser,
            f"--blink-settings=preferredColorScheme={setting}",
            "--hide-scrollbars",
            "--window-size=900,700",
            f"--screenshot={png}",
            html.as_uri(),
        ]
        subprocess.run(shot, capture_output=True, timeout=60, check=True)
        with Image.open(png) as image:
            means[name] = np.asarray(image.convert("L")).mean()
    assert means["dark"] < 80 < 200 < means["light"]


def test_terms_have_no_loose_ends():
    html = page_of("nuclei with scant cytoplasm between")
    said = parsed(html).text
    assert "nuclei with scant cytoplasm" in said
    chips = re.findall(r'<span class="chip [^"]*">([^<]*)</span>', html)
    assert "nuclei with scant cytoplasm" in chips
    assert not any(chip.endswith("between") for chip in chips)


def test_warnings_stand_apart_from_provenance():
    made = {"answerer": "blip"}
    html = corpus_page(Page("t", "f", made, (), pictured=False, warnings=("Painted `tissue` only.",)))
    assert '<p class="warning">Painted <code>tissue</code> only.</p>' in html
    assert "blip" in html
