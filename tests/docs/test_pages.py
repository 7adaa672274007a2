"""The pages are what the code says: nothing generated is stale, no link leads nowhere, nothing is left out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from documents import ROOT, blocks, filled, pages, parts
from generate import folder, make, ours
from harness import report
from wherry import errors
from wherry.cli.main import BROKEN_PIPE

DOCS = ROOT / "sdk" / "docs"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_nothing_generated_is_stale(page: Path) -> None:
    text = page.read_text()
    assert text == filled(text, make), "run  python tests/docs/generate.py"


def test_a_stale_part_is_found() -> None:
    text = "<!-- generated: errors -->\nstale\n<!-- end -->"
    assert "stale" not in filled(text, make)
    assert filled(filled(text, make), make) == filled(text, make)


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(_prose(page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


@each_page
def test_lines_are_short_enough_to_read_in_a_terminal(page: Path) -> None:
    """Tables aside."""
    own = re.sub(r"<!-- generated: .*?<!-- end -->", "", page.read_text(), flags=re.DOTALL)
    prose = _prose(own)
    assert not [line for line in prose.splitlines() if len(line) > 132 and not line.startswith("|")]


def _prose(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """What can be linked to: headings, as a forge writes them."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_every_connector_has_a_page_with_its_keys() -> None:
    found = ours()
    assert len(found) >= 5
    for plugin in found:
        text = (folder(plugin) / "README.md").read_text()
        assert text.startswith(f"# {plugin.distribution}\n")
        assert f"pip install {plugin.distribution}" in text
        whole = f"connector {plugin.kind} {plugin.name}"  # keys and streams
        assert {f"config {plugin.kind} {plugin.name}", whole} & set(parts(text))
        assert f"]({folder(plugin).relative_to(ROOT)}/README.md)" in (ROOT / "README.md").read_text()


def test_every_page_of_the_sdk_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            links = (link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link)
            waiting += [(page.parent / link).resolve() for link in links if link]
    assert set(DOCS.glob("*.md")) <= seen


def test_the_reliability_page_tells_the_results_that_are_kept() -> None:
    """`tests/faults/run --write` writes both."""
    assert report.PAGE.read_text() == report.page()


def test_every_exit_code_is_explained() -> None:
    text = (DOCS / "errors.md").read_text().split("## Exit codes")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
    told = {int(code) for row in rows for code in row.split(",")}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    known = {kind.exit_code for kind in kinds if issubclass(kind, errors.WherryError)}
    assert told == known | {0, 5, 143, BROKEN_PIPE}


def test_every_error_class_is_in_the_list_of_its_file() -> None:
    kinds = [n for n, k in vars(errors).items() if isinstance(k, type) and issubclass(k, errors.WherryError)]
    told = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert {*told, "WherryError"} == set(kinds)


def test_two_commands() -> None:
    """What `.ci/run` and whoever clones this copy from the page."""
    section = (ROOT / "README.md").read_text().split("\n## Two commands\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"^```\w*\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    first, second = block.splitlines()
    assert max(len(first), len(second)) <= 140
    assert "wherry sync " in first
    assert " pytest -n " in second


@pytest.mark.parametrize(
    ("page", "title"), [("test-your-plugin.md", "test_notes.py"), ("write-a-destination.md", "test_pond.py")]
)
def test_adopting_the_kit_takes_at_most_forty_lines(page: str, title: str) -> None:
    lines = [line for block in blocks(DOCS / page) if block.title == title for line in block.text.splitlines()]
    assert 5 < len(lines) <= 40


@each_page
def test_toml_that_is_shown_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.language == "toml":
            assert tomllib.loads(block.text), block.place
