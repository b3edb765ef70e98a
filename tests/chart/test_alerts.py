"""The alerts: promtool plays stories to each, and each has what a person who is called at night needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sidecar.core.view import Stage
from tests.chart import promtool
from tests.chart.alerts import ledger, licence, presence, readiness
from tests.chart.promtool import Case

CASES = (*readiness.CASES, *licence.CASES, *ledger.CASES, *presence.CASES)
PAGE = {
    "LicenseNotActive": "critical",
    "LicenseRefused": "critical",
    "LicenseNoSeats": "critical",
    "LicenseExpiringSoon": "warning",
    "LicenseExpiryCritical": "critical",
    "LicenseHeartbeatStale": "warning",
    "LicenseGraceEndingSoon": "critical",
    "LicenseActivationErrors": "warning",
    "LicenseReleaseFailing": "warning",
    "LicenseOrphans": "warning",
    "LicenseReclaimStalled": "warning",
    "LicenseSidecarAbsent": "warning",
    "LicenseSeatsNearlyUsed": "warning",
}
"""The alerts of observability.md with their severities: an agreement, so it is written down twice."""


def test_the_file_is_a_rule_file_as_it_stands() -> None:
    """Whoever has no chart gives the file to Prometheus as it is."""
    said = promtool.run("check", "rules", "--lint=all", "--lint-fatal", str(promtool.ALERTS))
    assert f"{len(PAGE)} rules found" in said


def test_there_are_the_alerts_of_the_page_and_no_others() -> None:
    """Thirteen, with the severities that were agreed on."""
    assert {name: rule["labels"]["severity"] for name, rule in promtool.rules().items()} == PAGE


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.name}")
def test_who_is_called_and_who_sleeps(case: Case, tmp_path: Path) -> None:
    """At each minute that a story names, the alert is firing, once, or it is not."""
    rules = tmp_path / "alerts.yaml"
    rules.write_text(promtool.ALERTS.read_text())
    story = tmp_path / "story.yaml"
    story.write_text(yaml.safe_dump(case.test_file(promtool.rules()[case.alert], rules.name)))
    promtool.run("test", "rules", story.name, folder=tmp_path)


@pytest.mark.parametrize("alert", PAGE)
def test_every_alert_has_a_story_with_it_and_one_without(alert: str) -> None:
    """An alert that never fires in a test may never fire; one that is never seen silent may fire always."""
    stories = [case for case in CASES if case.alert == alert]
    assert [case for case in stories if case.fires and case.says]
    silent = [case for case in stories if not case.fires]
    assert silent
    # Silence counts only among the series that could break it: all that the expression cannot do without.
    asked = promtool.metric_names(promtool.rules()[alert]["expr"])
    for case in silent:
        assert asked & {re.split("[{]", series)[0] for series in case.series}, case.name


@pytest.mark.parametrize("alert", PAGE)
def test_every_alert_is_one_for_the_whole_workload(alert: str) -> None:
    """The outcome carries namespace and job, at most `check` besides, never a pod: one page, not fifty."""
    rule = promtool.rules()[alert]
    assert re.search(r"by \(namespace, job(, check)?\)", rule["expr"])
    fired = [labels for case in CASES if case.alert == alert for many in case.fires.values() for labels in many]
    assert fired
    assert all(set(labels) <= {"check"} for labels in fired)


@pytest.mark.parametrize("alert", PAGE)
def test_every_alert_says_what_a_person_needs(alert: str) -> None:
    """A `for`, a severity, one sentence, a description, and the way to its entry in the runbook."""
    rule = promtool.rules()[alert]
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")
    assert "{{" not in rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"


@pytest.mark.parametrize("alert", PAGE)
def test_every_selector_can_be_scoped(alert: str) -> None:
    """Every series asked for has the matcher that the chart replaces by its release's namespace and job."""
    expr = promtool.rules()[alert]["expr"]
    for name, matchers in re.findall(r"\b(up|(?:mdlicense|kube)_[a-z_]+)(\{[^}]*\})?", expr):
        assert ('namespace=~".+"' if name.startswith("kube_") else 'job="license-sidecar"') in matchers, name


def test_states_in_the_rules_are_states_of_the_machine() -> None:
    """A state that was renamed would silence an alert without a word."""
    named = {
        state
        for rule in promtool.rules().values()
        for values in re.findall(r'state=~?"([^"]+)"', rule["expr"])
        for state in values.split("|")
    }
    assert named == {"waiting", "waiting_for_app", "refused"}
    assert named <= {stage.value for stage in Stage}
