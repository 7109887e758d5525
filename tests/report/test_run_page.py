"""The page of a run in a real browser: no errors, no requests, controls that work, answers that stay text."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from qaclims_path.data.card import IGNORE
from qaclims_path.data.cards import load_card
from qaclims_path.data.protocol import ignores_background
from qaclims_path.pipeline.run.examples import Layers, _Painter
from qaclims_path.pipeline.run.report import write_run_report

WIDTHS = {"laptop": (1280, 900), "phone": (390, 844)}
CONTRAST = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const channels = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found[3] > 0.99) return found;
    }
    return [255, 255, 255, 1];
  };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("svg") || !element.checkVisibility()) continue;
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push([element.tagName, element.className, element.textContent.trim(), ratio]);
  }
  return bad;
})()
"""
BOX = "(e) => { const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; }"
SEEN = "(e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true })"
ROWS = "document.querySelectorAll('#evaluation-1 .classes tbody tr')"
VIEWER = "document.querySelector('.viewer')"


def column(browser, number):
    """Texts of a column of the first table."""
    return browser.run(f"[...{ROWS}].map((row) => row.cells[{number}].textContent.trim())")


@pytest.fixture(scope="module")
def page(made_run):
    run, root = made_run
    write_run_report(run, root)
    return run / "report.html"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_without_errors_fits_and_is_readable(browser, page, width, dark):
    browser.open(page, *WIDTHS[width], dark=dark)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.quiet()
    assert browser.run("document.documentElement.scrollWidth") == WIDTHS[width][0]
    assert browser.run(CONTRAST) == []
    browser.run("document.querySelector('h1').style.color = 'color-mix(in srgb, var(--ink) 30%, var(--paper))'")
    assert [found[0] for found in browser.run(CONTRAST)] == ["H1"], "the measure sees what cannot be read"
    assert browser.run("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")


def test_answers_stay_text(browser, page):
    browser.open(page)
    assert browser.run("document.title").startswith("Phantom slides")
    assert browser.run("document.querySelectorAll('script').length") == 1
    assert "<script>document.title='taken'</script>" in browser.run("document.querySelector('#corpus').textContent")
    assert "<b>no tissue</b>" in browser.run("document.querySelector('#slides').textContent")
    assert browser.run("document.querySelectorAll('#corpus script, #corpus [onerror], #slides b').length") == 0


def test_the_policy_stops_text_that_was_not_escaped(browser, page, tmp_path):
    """Even markup that nobody escaped runs nothing, is not styled, and fetches nothing."""
    bad = (
        "<script>document.title='taken'</script><img src='http://127.0.0.1:9/x.png' onerror=\"document.title='taken'\">"
    )
    bad += "<p id=bad style='color: rgb(1, 2, 3)'>x</p>"
    (tmp_path / "bad.html").write_text(page.read_text().replace("<main>", f"<main>{bad}"))
    browser.open(tmp_path / "bad.html")
    assert browser.run("document.title").startswith("Phantom slides")
    assert browser.run("getComputedStyle(document.getElementById('bad')).color") != "rgb(1, 2, 3)"
    assert any("Content Security Policy" in entry["entry"]["text"] for entry in browser.said("Log.entryAdded"))


def test_tables_sort_by_mouse_and_key(browser, page):
    browser.open(page)
    numbers = [float(text) for text in column(browser, 1)]
    head = "document.querySelectorAll('#evaluation-1 .classes thead th')"
    browser.run(f"{head}[1].scrollIntoView({{block: 'center'}})")
    left, top, *_ = browser.run(f"({BOX})({head}[1].querySelector('button'))")
    browser.click(left + 4, top + 4)
    assert [float(text) for text in column(browser, 1)] == sorted(numbers, reverse=True)
    assert browser.run(f"{head}[1].getAttribute('aria-sort')") == "descending"
    browser.key("Enter")  # the button has the focus
    assert [float(text) for text in column(browser, 1)] == sorted(numbers)
    browser.run(f"{head}[0].querySelector('button').focus()")
    browser.key("Enter")
    assert column(browser, 0) == sorted(column(browser, 0))
    assert browser.run(f"{head}[1].hasAttribute('aria-sort')") is False
    browser.run(f"{head}[8].querySelector('button').click()")
    pixels = browser.run(f"[...{ROWS}].map((row) => Number(row.cells[8].dataset.value))")
    assert pixels == sorted(pixels, reverse=True)
    assert browser.quiet()


def test_examples_open_on_the_prediction_beside_the_image(browser, page):
    browser.open(page)
    shown = f"[...{VIEWER}.querySelectorAll('.panel')].filter({SEEN})"
    assert browser.run(f"{shown}.map((one) => one.dataset.name)") == ["Image", "Prediction"]
    [left, right] = browser.run(f"{shown}.map((one) => ({BOX})(one.querySelector('img')))")
    assert left[1:] == pytest.approx(right[1:], abs=0.1), "on one line, and of one size"
    assert left[0] + left[2] <= right[0]
    remark = browser.run(f"{VIEWER}.querySelector('.named').textContent")
    assert "mIoU" in remark
    assert "mean confidence" in remark


def test_the_slider_moves_by_key_mouse_and_name(browser, page):
    browser.open(page)
    shown = f"[...{VIEWER}.querySelectorAll('.panel')].slice(1).filter({SEEN}).map((one) => one.dataset.name)"
    said = f"{VIEWER}.querySelector('input').getAttribute('aria-valuetext')"
    browser.run(f"{VIEWER}.querySelector('input').focus()")
    browser.key("ArrowRight")
    assert (browser.run(shown), browser.run(said)) == (["Confidence"], "Confidence")
    browser.key("End")
    assert browser.run(said) == "Truth"
    browser.key("Home")
    assert browser.run(said) == "Map"
    browser.run(f"{VIEWER}.scrollIntoView({{block: 'center'}})")
    left, top, width, height = browser.run(f"({BOX})({VIEWER}.querySelector('input'))")
    browser.click(left + 0.375 * width, top + height / 2)
    assert browser.run(said) == "between Pseudo mask and Prediction"
    assert browser.run(shown) == ["Pseudo mask", "Prediction"]
    browser.run(f"{VIEWER}.querySelectorAll('.layers button')[4].click()")
    assert browser.run(shown) == ["Truth"]
    assert browser.run(f"{VIEWER}.querySelectorAll('.layers [aria-pressed=true]').length") == 1
    assert browser.quiet()


def test_sliders_move_together_and_all_layers_are_shown(browser, page):
    browser.open(page)
    said = "[...document.querySelectorAll('.viewer input')].map((one) => one.getAttribute('aria-valuetext'))"
    browser.run("document.querySelector('.layers button:nth-child(1)').click()")
    assert set(browser.run(said)) == {"Map", "Prediction"}
    browser.run("document.querySelectorAll('.switches button')[0].click()")
    browser.run("document.querySelector('.layers button:nth-child(2)').click()")
    assert set(browser.run(said)) == {"Pseudo mask"}
    browser.run("document.querySelectorAll('.switches button')[1].click()")
    assert browser.run(f"[...document.querySelectorAll('.panel')].every({SEEN})")


def test_pictures_enlarge_by_mouse_and_key(browser, page):
    browser.open(page)
    large = "document.querySelector('dialog.enlarged')"
    small = browser.run(f"{VIEWER}.querySelector('.panel img').getBoundingClientRect().width")
    browser.run(f"{VIEWER}.querySelector('.opens').focus()")
    browser.key("Enter")
    assert browser.run(f"{large}.open")
    assert browser.run(f"{large}.querySelector('img').getBoundingClientRect().width") > 2 * small
    assert browser.run(f"{large}.querySelector('p').textContent").startswith("The image")
    browser.key("ArrowRight")
    assert "activation maps" in browser.run(f"{large}.querySelector('p').textContent")
    browser.click(600, 400)
    assert not browser.run(f"{large}.open")
    assert browser.quiet()


def test_what_is_wider_than_a_phone_says_so(browser, page):
    browser.open(page, *WIDTHS["phone"])
    marked = "document.querySelector('#evaluation-1 .scroll').classList.contains('sideways')"
    browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert browser.run(marked)
    browser.open(page, 1800, 900)
    browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert not browser.run(marked)


def test_the_table_of_slides_begins_with_percentages(browser, page):
    browser.open(page)
    heads = browser.run("[...document.querySelectorAll('.cohort thead th')].map((one) => one.textContent.trim())")
    assert heads == ["slide", "Tumor %", "Tumor area", "patient", "mpp", "failed"]
    row = browser.run(
        "[...document.querySelectorAll('.cohort tbody tr')[1].cells].map((one) => one.textContent.trim())"
    )
    assert row == ["PH9002", "8.0", "11.3 mm²", "PH9", "0.5", ""]


def test_classes_have_one_name_and_sentences_no_backticks(made_run, browser, page):
    browser.open(page)
    charts = browser.run("[...document.querySelectorAll('#training figcaption')].map((one) => one.textContent.trim())")
    assert "Tumor" in charts
    assert "tumor" not in charts
    write_run_report(made_run[0])  # without pictures, which a sentence explains
    browser.open(page)
    assert "`" not in browser.run("document.querySelector('main').innerText")
    assert browser.run("document.querySelector('#examples code').textContent") == "qaclims report RUN --root DIR"
    write_run_report(*made_run)


def test_a_screen_reader_finds_titles_and_tables(browser, page):
    browser.open(page)
    tree = browser.ask("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]}
    assert {("main", ""), ("navigation", "Sections"), ("heading", "Scores"), ("region", "Scores")} <= named
    nameless = {
        role for role, name in named if not name and role in ("slider", "button", "image", "link", "table", "region")
    }
    assert nameless == set()
    assert any(role == "slider" and name.startswith("Layer of PH") for role, name in named)
    assert browser.run("[...document.querySelectorAll('table:not(.asked)')].every((one) => one.caption)")
    browser.key("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_without_scripts_all_layers_are_shown(browser, page):
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        assert browser.run(f"[...document.querySelectorAll('.panel')].every({SEEN})")
        assert browser.run("document.querySelector('input') === null")
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


def test_it_is_one_small_file_without_addresses(page):
    html = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 3_000_000
    assert not re.findall(r"(?:https?:)?//\w", re.sub(r"base64,[\w+/=]+", "", html))
    assert " style=" not in html
    assert not re.search(
        r"\son\w+=", re.sub(r"&[^;]+;", "", html.split("<body>")[1].split("<script>")[0]).replace("onerror", "")
    )


def test_the_same_run_gives_the_same_page(made_run, page):
    run, root = made_run
    before = page.read_bytes()
    write_run_report(run, root)
    assert page.read_bytes() == before


def test_numbers_of_the_page_are_those_of_the_run(made_run, page):
    run, _ = made_run
    html = page.read_text(encoding="utf-8")
    for entry in json.loads((run / "metrics.json").read_text()):
        assert f"{100 * entry['scores']['miou']:.2f}" in html
    assert html.count("Method B") > 3
    for name in ("tiny-judge", "qa-clims-path", "resnet50", "packages.torch", "all 6 stages done"):
        assert name in html


def test_a_demonstration_says_so_in_the_header(browser, page):
    browser.open(page)
    said = browser.run("document.querySelector('header .warning').textContent")
    assert said == "Demonstration model: it learnt from painted tissue. Do not rely on what it says."


def test_pixels_that_do_not_count_are_not_painted():
    glass, tissue = np.full((4, 4), 4, np.uint8), np.zeros((4, 4), np.uint8)
    truth = np.vstack([glass[:2], tissue[:2]])
    truth[3, 3] = IGNORE
    layers = Layers(Path("nowhere"), load_card("phantom"), "val")
    counted = _Painter(layers, ignores_background("tissue"))._counted(tissue, truth)
    assert counted.tolist() == [[255] * 4, [255] * 4, [0] * 4, [0, 0, 0, 255]]
    assert (_Painter(layers, ignores_background("pbip"))._counted(tissue, truth)[:3] == 0).all()
    assert _Painter(layers, ignores=True)._counted(tissue, None) is tissue
