"""The dashboard is one that any Grafana takes: nobody's own data source, valid queries, panels side by side."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.core.view import Stage
from sidecar.observe.state_gauges import CHECKS
from tests.chart import promtool

BOARD: dict[str, Any] = json.loads(promtool.DASHBOARD.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PAGE = {
    "pods by state": ["mdlicense_state"],
    "seats held": ["mdlicense_seat_held"],
    "days to expiry": ["mdlicense_license_expiration_timestamp_seconds", "86400"],
    "state of each pod": ["mdlicense_state", "by (pod)"],
    "refusals": ["mdlicense_activation_failures_total", "by (reason)"],
    "heartbeat age": ["mdlicense_last_heartbeat_success_timestamp_seconds"],
    "orphans and reclaims": ["mdlicense_orphaned_seat_records", "mdlicense_reclaims_total"],
    "latency by target": ["histogram_quantile", "mdlicense_request_duration_seconds_bucket", "target"],
    "time to active": ["mdlicense_time_to_active_seconds"],
    "versions": ["mdlicense_build_info", "version"],
}
"""The panels of observability.md, and what each must ask for."""


def expressions() -> list[tuple[str, str]]:
    """Return each query with the title of its panel."""
    return [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]


def plain(expr: str) -> str:
    """Return a query as Grafana sends it when everything is chosen."""
    return re.sub(r"\$(namespace|job|pod)\b", ".*", expr).replace("$__rate_interval", "5m")


def test_every_query_is_promql(tmp_path: Path) -> None:
    """Prometheus' own parser takes each query, with the variables filled in as Grafana does."""
    rules = [{"record": f"panel:{number}", "expr": plain(expr)} for number, (_title, expr) in enumerate(expressions())]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool.run("check", "rules", "--lint=none", str(file))
    assert len(rules) > 20


@pytest.mark.parametrize("title", PAGE)
def test_every_panel_of_the_page_is_there(title: str) -> None:
    """What observability.md lists is on the dashboard."""
    (found,) = [panel for panel in PANELS if panel["title"].lower().startswith(title)]
    asked = " ".join(target["expr"] for target in found["targets"])
    assert not [word for word in PAGE[title] if word not in asked]


def test_no_data_source_is_somebody_s_own() -> None:
    """Each panel, query and variable asks the data source that the reader chose."""
    for panel in PANELS:
        assert panel["datasource"] == SOURCE
        assert [target["datasource"] for target in panel["targets"]] == [SOURCE] * len(panel["targets"])
    variables = BOARD["templating"]["list"]
    assert [(it["name"], it["type"]) for it in variables[:1]] == [("datasource", "datasource")]
    assert [it["name"] for it in variables[1:]] == ["namespace", "job", "pod"]
    assert all(it["datasource"] == SOURCE for it in variables[1:])
    assert "__inputs" not in BOARD


def test_its_identity_is_fixed() -> None:
    """Links to it last: the uid never changes, and no Grafana's own number stands in it."""
    assert BOARD["uid"] == "license-sidecar"
    assert BOARD["id"] is None


def test_every_query_follows_the_variables() -> None:
    """Whoever chooses a namespace sees that namespace; only the mock knows of none."""
    for title, expr in expressions():
        if "mock_activation" not in expr:
            assert 'namespace=~"$namespace"' in expr, title
            assert 'job=~"$job"' in expr, title


def test_panels_stand_side_by_side() -> None:
    """No panel covers another, none is wider than the screen, and all have numbers of their own."""
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    rows = sorted({y for _x, y in taken})
    assert all(after - before == 1 for before, after in pairwise(rows))


def test_every_panel_says_what_it_shows() -> None:
    """A title, a sentence for who hovers over it, and a query for each letter."""
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters))
        assert letters


def test_the_age_of_heartbeats_is_told_of_the_checks_that_are_drawn() -> None:
    """The panel's text and the guide promise no line that its query leaves out."""
    (panel,) = [panel for panel in PANELS if panel["title"] == "Heartbeat age"]
    left_out = set(re.findall(r'check!="(\w+)"', panel["targets"][0]["expr"]))
    told, _, rest = panel["description"].partition(". ")
    assert set(re.findall(r"`(\w+)`", told)) == set(CHECKS) - left_out
    assert left_out == set(re.findall(r"`(\w+)`, [\w ]+, is not drawn", rest))
    (row,) = re.findall(
        r"^\| Heartbeat \| (.*?):", (promtool.ROOT / "docs" / "operations.md").read_text(), re.MULTILINE
    )
    assert set(re.findall(r"`(\w+)`", row)) == set(CHECKS) - left_out


def test_every_state_of_the_machine_has_its_name_and_colour() -> None:
    """The line of a pod is drawn with a number for each state: all of them, each with its own name."""
    (panel,) = [it for it in PANELS if it["type"] == "state-timeline"]
    names = {number: it["text"] for number, it in panel["fieldConfig"]["defaults"]["mappings"][0]["options"].items()}
    asked = {
        number: state for state, number in re.findall(r'state="(\w+)"\} == 1\) \* (\d+)', panel["targets"][0]["expr"])
    }
    assert asked == names
    assert sorted(names.values()) == sorted(stage.value for stage in Stage)


def test_it_fits_into_a_config_map_that_is_applied() -> None:
    """`kubectl apply` keeps a copy in an annotation, which holds 256 KiB in all."""
    assert len(promtool.DASHBOARD.read_bytes()) < 128 * 1024
