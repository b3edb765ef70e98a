"""The runbook has an entry for each alert, none for an alert that is gone, and sends nobody to what is not there."""

from __future__ import annotations

import importlib.util
import re

import pytest

from sidecar.cli import COMMANDS
from sidecar.config import SETTINGS
from tests.chart import promtool

TEXT = promtool.RUNBOOK.read_text(encoding="utf-8")
PARTS = ["Meaning", "Impact", "Look at", "Mend"]


def entries() -> dict[str, str]:
    """Return what stands under each heading, by heading."""
    pieces = re.split(r"^#{2,3} (.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def anchor(heading: str) -> str:
    """Return a heading's anchor as GitHub and most others make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_each_alert_has_its_entry_and_each_entry_its_alert() -> None:
    """Who is called finds an entry under the alert's name; who reads an entry can be called for it."""
    found = [heading for heading in entries() if heading.startswith("License")]
    assert sorted(found) == sorted(promtool.rules())


@pytest.mark.parametrize("alert", promtool.rules())
def test_the_link_of_an_alert_leads_to_its_entry(alert: str) -> None:
    """The anchor of `runbook_url` is that of the entry's heading."""
    file, _, target = promtool.rules()[alert]["annotations"]["runbook_url"].partition("#")
    assert promtool.ROOT / file == promtool.RUNBOOK
    assert target == anchor(alert)


@pytest.mark.parametrize("alert", promtool.rules())
def test_an_entry_says_four_things_in_order(alert: str) -> None:
    """What it means, what it costs, where to look, how to mend it, each with something behind it."""
    parts = re.split(r"^\*\*(.+?)\.\*\*", entries()[alert], flags=re.MULTILINE)
    assert parts[1::2] == PARTS
    assert [len(said.split()) > 2 or "None yet" in said for said in parts[2::2]] == [True] * len(PARTS)


def test_links_within_the_page_lead_somewhere() -> None:
    """Every `#anchor` of the page is one of its headings."""
    headings = {anchor(heading) for heading in entries()}
    links = re.findall(r"\]\(#([^)]+)\)", TEXT.replace("\n", " "))
    assert len(links) > len(promtool.rules())
    assert [link for link in links if link not in headings] == []


def test_commands_and_settings_that_it_names_exist() -> None:
    """Who types what the page says gets no usage error."""
    commands = re.findall(r"(?:`|-- )license-sidecar\s+([a-z][a-z-]+)", TEXT)
    assert {"list", "reclaim", "release", "import", "check-config"} <= set(commands)
    assert [name for name in commands if name not in COMMANDS] == []
    sections = {name.split(".")[0] for name in SETTINGS if "." in name}
    settings = re.findall(r"`([a-z]+\.[a-z_]+)`", TEXT)
    named = [name for name in settings if name.split(".")[0] in sections]
    assert len(named) > 5
    assert [name for name in named if name not in SETTINGS] == []


def test_the_table_of_alerts_is_not_stale() -> None:
    """`python docs/make_alert_table.py` would change nothing."""
    spec = importlib.util.spec_from_file_location("make_alert_table", promtool.ROOT / "docs" / "make_alert_table.py")
    assert spec is not None
    assert spec.loader is not None
    making = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(making)
    assert making.page() == TEXT, "run python docs/make_alert_table.py"
