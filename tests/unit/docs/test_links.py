"""Whoever follows a link of the docs arrives: at a file that is there, and at the heading that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.docs.pages import ROOT, anchors, links, pages, target


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link leads to a file or folder of the project, and every anchor to a heading of that page."""
    wrong = []
    for link in links(page):
        there = target(page, link)
        if there is None:
            continue
        path, anchor = there
        if not path.exists() or not path.is_relative_to(ROOT) or (anchor and anchor not in anchors(path)):
            wrong.append(link)
    assert wrong == []


def test_the_pages_are_found_and_have_links() -> None:
    """The test above does not pass because it saw nothing."""
    found = {str(page.relative_to(ROOT)) for page in pages()}
    assert {"README.md", "docs/operations.md", "docs/runbook.md", "charts/icap/README.md"} <= found
    assert sum(len(links(page)) for page in pages()) > 50
    assert "rotate-the-key" in anchors(ROOT / "docs" / "operations.md")


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    """Links and anchors are read as a browser reads them; what stands in code is none."""
    page = tmp_path / "page.md"
    page.write_text(
        '# A `b` & [c](x.md)\n## Again\n## Again\n[one](#a-b--c) [two\nlines](other.md#x "title")\n'
        "`[no](link)`\n```\n# no heading\n[no](link)\n```\n![picture](p.png) [out](https://example.com/#x)\n",
        encoding="utf-8",
    )
    assert links(page) == ["x.md", "#a-b--c", "other.md#x", "p.png", "https://example.com/#x"]
    assert anchors(page) == {"a-b--c", "again", "again-1"}
    assert target(page, "other.md#x") == (tmp_path / "other.md", "x")
    assert target(page, "#again") == (page, "again")
    assert target(page, "https://example.com/") is None
