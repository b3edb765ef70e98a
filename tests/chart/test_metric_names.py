"""No rule, panel or page of the runbook names a metric, a label or a value that nobody exports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart import names, promtool
from tests.chart.names import faults

RULES = {name: json.dumps(rule).replace('\\"', '"') for name, rule in promtool.rules().items()}


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that ask for something."""
    return [panel for panel in json.loads(promtool.DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_asks_only_for_what_is_exported(alert: str) -> None:
    """A metric that was renamed would silence its alert for good."""
    assert [name for name, _named in names.selectors(RULES[alert])]
    assert faults(RULES[alert]) == []


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_asks_only_for_what_is_exported(panel: dict[str, Any]) -> None:
    """A panel without data looks like peace."""
    for target in panel["targets"]:
        assert [name for name, _named in names.selectors(target["expr"])]
        assert faults(target["expr"]) == []


def test_the_runbook_names_only_what_is_exported() -> None:
    """What a person is told to look at at night is there."""
    text = promtool.RUNBOOK.read_text()
    assert len(list(names.selectors(text))) > 10
    assert faults(text) == []


def test_whatever_is_foreign_is_asked_for() -> None:
    """The list of what others export holds nothing that nobody needs."""
    everything = [*RULES.values(), *(target["expr"] for panel in panels() for target in panel["targets"])]
    assert {name for text in everything for name, _named in names.selectors(text)} >= names.FOREIGN


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("mdlicense_redy == 0", "there is no metric mdlicense_redy"),
        ('mdlicense_state{state="actve"}', 'mdlicense_state is never state="actve"'),
        ('mdlicense_state{state=~"active|gone"}', 'mdlicense_state is never state="gone"'),
        ('mdlicense_ready{state="x"}', 'mdlicense_ready is never state="x"'),
        ("mdlicense_request_duration_seconds", "there is no metric mdlicense_request_duration_seconds"),
    ],
)
def test_the_look_at_names_finds_faults(expr: str, fault: str) -> None:
    """The look itself is worth something: it finds a wrong name, value and label."""
    assert faults(expr) == [fault]
