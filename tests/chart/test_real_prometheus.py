"""A real Prometheus takes the rules as they are, calls whom it should, and answers every query of the dashboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chart import promtool
from tests.chart.prometheus_scene import Prometheus, running
from tests.chart.test_dashboard import PANELS, plain

FIRING = {"LicenseNotActive", "LicenseNoSeats"}
SILENT_HERE = {"Grace left"}
"""Panels that are empty in this scene: no grace with an end runs."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Return a Prometheus that has scraped all there is and evaluated its rules."""
    with running(tmp_path_factory.mktemp("prometheus")) as made:
        made.wait_until("all targets are up", lambda: made.value("sum(up) == 3"))
        made.wait_until("every rule was evaluated", lambda: all(it["lastEvaluation"] for it in made.alerts().values()))
        yield made


def test_every_rule_is_healthy(prometheus: Prometheus) -> None:
    """Prometheus has loaded all alerts, and none of them stumbles over labels or series."""
    prometheus.wait_until(
        "no rule is waiting for its first turn",
        lambda: "unknown" not in {rule["health"] for rule in prometheus.alerts().values()},
    )
    found = {name: (rule["health"], rule.get("lastError", "")) for name, rule in prometheus.alerts().items()}
    assert found == dict.fromkeys(promtool.rules(), ("ok", ""))


def test_a_pod_without_a_seat_is_called_for(prometheus: Prometheus) -> None:
    """The registry of a pod that is refused a seat fires two alerts, one each, with a text for people."""
    prometheus.wait_until(
        "both alerts fire", lambda: all(prometheus.alerts()[name]["state"] == "firing" for name in FIRING)
    )
    for name in FIRING:
        (alert,) = prometheus.alerts()[name]["alerts"]
        assert alert["labels"]["namespace"] == "icap"
        assert alert["annotations"]["description"].startswith("1 pod(s) of license-sidecar in namespace icap ")
        assert "<error" not in alert["annotations"]["description"]
    assert "for example refused." in prometheus.alerts()["LicenseNotActive"]["alerts"][0]["annotations"]["description"]
    assert prometheus.alerts()["LicenseRefused"]["state"] == "inactive"


@pytest.mark.parametrize("title", [panel["title"] for panel in PANELS])
def test_every_panel_has_something_to_show(prometheus: Prometheus, title: str) -> None:
    """Each query finds series in a scene in which everything has happened: names that fit, and labels that match."""
    (panel,) = [it for it in PANELS if it["title"] == title]
    prometheus.wait_until("alerts fire", lambda: prometheus.value('ALERTS{alertstate="firing"}'))
    found = {target["refId"]: bool(prometheus.value(plain(target["expr"]))) for target in panel["targets"]}
    assert found == dict.fromkeys(found, title not in SILENT_HERE)
