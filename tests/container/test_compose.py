"""The Compose file as a newcomer runs it: two pods share two seats, lose one, get it back, and leave none behind.

One stack for the whole file, since it takes a while to start; every test leaves it as the next one expects it, and
the order in the file is the order of the story.
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

SERVICES = ("mock", "pod1", "app1", "sidecar1", "pod2", "app2", "sidecar2")
CHECKED = tuple(name for name in SERVICES if not name.startswith("pod"))
UP = 60.0
CRASH = "from urllib.request import urlopen; urlopen('http://127.0.0.1:8049/crash', data=b'{}', timeout=5)"


@pytest.fixture(scope="module", autouse=True)
def started(stack: Any) -> None:
    """Bring everything up and wait until it is healthy: for a sidecar that means that it is ready."""
    stack.compose("up", "--detach", "--no-build", *SERVICES)
    for service in CHECKED:
        stack.wait_until(f"{service} is healthy", lambda service=service: stack.healthy(service), UP, show=service)


def records(stack: Any) -> list[dict[str, Any]]:
    """Return the seat records as the operator's command shows them."""
    shown = stack.engine.run("exec", stack.container("sidecar2"), "license-sidecar", "list", "--output", "json")
    found: list[dict[str, Any]] = json.loads(shown)["seats"]
    return found


def test_two_pods_take_two_seats(stack: Any) -> None:
    """Two pods that share a key of two seats hold one each, and each seat has its record."""
    assert len(stack.seats()) == 2
    assert {record["deployment_id"] for record in records(stack)} == stack.seats()


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_hardened(stack: Any, service: str) -> None:
    """A read-only root, no capability, no new privileges, a number for a user."""
    shown = stack.engine.inspect(stack.container(service))
    assert shown["HostConfig"]["ReadonlyRootfs"]
    assert shown["HostConfig"]["CapDrop"] == ["ALL"]
    assert shown["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert int(shown["Config"]["User"].split(":")[0]) > 0


def test_crashed_app_comes_back_with_one_seat(stack: Any) -> None:
    """A crashed app comes back under another deployment ID: the old seat is released, the new one is taken."""
    before = stack.seats()
    # No check: the command is killed together with the container in which it runs.
    stack.engine.run("exec", stack.container("app1"), "python3", "-c", CRASH, check=False)
    stack.wait_until(
        "two seats, one of them new", lambda: len(stack.seats() - before) == 1 == len(before - stack.seats()), 60
    )
    stack.wait_until("sidecar1 is ready again", lambda: stack.healthy("sidecar1"), 60)


def test_restarted_app_container_keeps_its_sidecar(stack: Any) -> None:
    """The sidecar's network outlives the app's container, so it sees the app again."""
    before = stack.seats()
    stack.compose("restart", "--timeout", "5", "app1")
    stack.wait_until(
        "two seats, one of them new", lambda: len(stack.seats() - before) == 1 == len(before - stack.seats()), 60
    )
    stack.wait_until("sidecar1 is ready again", lambda: stack.healthy("sidecar1"), 60)


def test_other_pod_reclaims_the_seat_of_a_killed_one(stack: Any) -> None:
    """A pod that died without a word leaves its seat taken; the other pod gives it back after a lease."""
    before = stack.seats()
    stack.engine.run("kill", stack.container("sidecar1"), stack.container("app1"))
    assert stack.seats() == before
    stack.wait_until("the dead pod's seat is free", lambda: len(stack.seats()) == 1, 90)
    assert stack.healthy("sidecar2")
    stack.compose("start", "app1", "sidecar1")
    stack.wait_until("the pod has a seat again", lambda: len(stack.seats()) == 2 and stack.healthy("sidecar1"), 60)


def test_prometheus_scrapes_both_sidecars_and_the_mock(stack: Any) -> None:
    """With the profile "monitoring" Prometheus sees two seats held and two seats used, with nothing set up by hand."""
    image = os.environ.get("PROMETHEUS_IMAGE", "")
    if image:
        assert stack.engine.run("image", "ls", "--quiet", image)
    stack.compose("--profile", "monitoring", "up", "--detach", "--no-build", "prometheus")
    url = stack.url("prometheus", 9090)

    def value(query: str) -> float | None:
        answer = stack.fetch(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        return next((float(sample["value"][1]) for sample in answer["data"]["result"]), None)

    stack.wait_until("all targets are up", lambda: value("sum(up)") == 3, 60)
    stack.wait_until("two seats are held", lambda: value("sum(mdlicense_seat_held)") == 2, 30)
    stack.wait_until("two sidecars are ready", lambda: value("sum(mdlicense_ready)") == 2, 30)
    stack.wait_until("Prometheus is healthy", lambda: stack.healthy("prometheus"), 60)


def alerts(stack: Any) -> dict[str, dict[str, Any]]:
    """Return what Prometheus makes of each alert."""
    groups = stack.fetch(stack.url("prometheus", 9090) + "/api/v1/rules?type=alert")["data"]["groups"]
    return {rule["name"]: rule for group in groups for rule in group["rules"]}


def test_prometheus_has_the_alerts_of_the_chart(stack: Any) -> None:
    """The profile loads the chart's own file, and every alert in it is evaluated without a fault and stays silent."""
    file = Path(__file__).resolve().parents[2] / "charts" / "icap" / "files" / "alerts.yaml"
    expected = re.findall(r"^ *- alert: (\w+)$", file.read_text(), re.MULTILINE)
    assert len(expected) == 13
    stack.wait_until(
        "every alert was evaluated", lambda: {rule["health"] for rule in alerts(stack).values()} == {"ok"}, 30
    )
    assert list(alerts(stack)) == expected
    assert {name for name, rule in alerts(stack).items() if rule["state"] == "firing"} == set()


def test_an_expired_key_is_called_for(stack: Any) -> None:
    """An app that comes back while its key has expired is refused, and Prometheus calls for a person, once."""
    stack.key_state("expired")
    stack.engine.run("exec", stack.container("app1"), "python3", "-c", CRASH, check=False)
    stack.wait_until("sidecar1 is refused", lambda: stack.status(1)["state"] == "refused", 60, show="sidecar1")
    # Firing takes two minutes; seen once is enough, with the other Compose it may just have begun.
    state = "firing" if stack.flavour == "docker compose" else "pending"
    stack.wait_until(f"the alert is {state}", lambda: alerts(stack)["LicenseRefused"]["state"] == state, 240)
    (alert,) = alerts(stack)["LicenseRefused"]["alerts"]
    assert alert["labels"] == {"alertname": "LicenseRefused", "job": "license-sidecar", "severity": "critical"}
    assert alert["annotations"]["description"].startswith("1 pod(s) of license-sidecar got a final no")
    stack.key_state("ok")
    # A final no is asked again after a quarter of an hour; a sidecar that starts asks at once.
    stack.compose("restart", "--timeout", "25", "sidecar1")
    stack.wait_until("the pod has a seat again", lambda: len(stack.seats()) == 2 and stack.healthy("sidecar1"), 90)
    stack.wait_until("nobody is called", lambda: alerts(stack)["LicenseRefused"]["state"] == "inactive", 60)


def test_stopping_gives_both_seats_back(stack: Any) -> None:
    """SIGTERM releases: after the sidecars have stopped, the server counts nothing and every exit was clean."""
    stack.compose("stop", "sidecar1", "sidecar2")
    assert stack.seats() == set()
    for service in ("sidecar1", "sidecar2"):
        assert stack.engine.inspect(stack.container(service))["State"]["ExitCode"] == 0


def test_no_key_in_any_log(stack: Any) -> None:
    """NO_SECRET: neither the licence key nor the API key stands in what any container printed or was started with."""
    folder = Path(__file__).resolve().parents[2] / "docs" / "compose"
    secrets = [(folder / name).read_text().strip() for name in ("license/value", "app/api-key")]
    for service in SERVICES:
        container = stack.container(service)
        printed = stack.engine.run("logs", container)
        shown = json.dumps(stack.engine.inspect(container))
        assert not [
            place for place, text in (("log", printed), ("settings", shown)) for secret in secrets if secret in text
        ]
