"""Links between pages lead somewhere, pages stay short, and the site loads nothing from other hosts."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
READ_ME = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "datasets/README.md")]
OTHERS = sorted((ROOT / "scripts").rglob("*.md"))
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
LONGEST = {"README.md": 150, "CONTRIBUTING.md": 120, "docs/results.md": None}
LINES = 250  # of other pages


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"^[ ]*```.*?^[ ]*```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The ids of the headings of a page, as GitHub and mkdocs make them."""
    titles = re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", title.lower()) for title in titles)
    return {re.sub(r"\s+", "-", each.strip()) for each in plain}


@pytest.mark.parametrize("page", [*READ_ME, *DOCS, *OTHERS], ids=name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{name(page)}: {link} does not exist"
        if anchor:
            assert anchor in anchors(target), f"{name(page)}: {link} is no heading; there are {sorted(anchors(target))}"


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_pages_of_the_site_link_only_to_the_site(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if not link.startswith(("https://", "#")):
            assert (page.parent / link.partition("#")[0]).resolve().is_relative_to(ROOT / "docs"), link


@pytest.mark.parametrize("page", [*READ_ME, *DOCS], ids=name)
def test_pages_are_short(page: Path) -> None:
    limit = LONGEST.get(name(page), LINES)
    assert limit is None or len(page.read_text(encoding="utf-8").splitlines()) <= limit


def test_every_page_is_in_the_menu_and_on_the_first_page() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    menu = re.findall(r"[\w/-]+\.md", str(site["nav"]))
    pages = {str(path.relative_to(ROOT / "docs")) for path in DOCS}
    assert sorted(menu) == sorted(pages)
    for first in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        linked = {link.removeprefix("docs/").partition("#")[0] for link in LINK.findall(prose(first))}
        assert pages - {"index.md"} <= linked, f"{name(first)} does not link to {sorted(pages - linked)}"


def test_the_site_fetches_no_fonts() -> None:
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["theme"]["font"] is False
