"""The HTTP routes of design.md section 8, asked over a socket as a kubelet, Prometheus and a person would."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from sidecar.core.policy import IdSource, Route
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.state import Adopted, AppLost, AppView, Seat, State, Unsure
from sidecar.core.view import View, describe
from sidecar.errors import Misconfigured
from sidecar.observe import web as web_module
from sidecar.observe.lag import Lag
from sidecar.observe.metrics import Metrics
from sidecar.observe.pulses import Pulses
from sidecar.observe.web import Web
from tests.unit.observe import states
from tests.unit.observe.states import KEY, NOW, WALL, Clock


class Source:
    def __init__(self) -> None:
        self.shown = states.starting()
        self.clock = Clock()

    def view(self) -> View:
        return describe(self.shown, self.clock.now)

    def state(self) -> State:
        return self.shown

    def now(self) -> float:
        return self.clock.now

    def wall(self) -> float:
        return WALL


class Answer:
    def __init__(self, raw: bytes) -> None:
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.code = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        self.text = body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Served:
    def __init__(self, port: int, source: Source, pulses: Pulses, metrics: Metrics) -> None:
        self.port = port
        self.source = source
        self.pulses = pulses
        self.metrics = metrics

    async def ask(self, path: str, method: str = "GET", host: str = "127.0.0.1") -> Answer:
        reader, writer = await asyncio.open_connection(host, self.port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n".encode())
        raw = await reader.read()
        writer.close()
        await writer.wait_closed()
        return Answer(raw)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    """Give a server on a free port."""
    source = Source()
    pulses = Pulses(source.clock)
    metrics = Metrics("1.2.3", clock=source.clock, wall=source.wall)
    web = Web(0, source, metrics, pulses)
    port = await web.start()
    yield Served(port, source, pulses, metrics)
    await web.stop()


READY = [states.active(), states.app_silent(), states.refused_yet_licensed(), states.observing(), states.off()]
NOT_READY = [
    states.starting(),
    states.listed(),
    states.delivering(),
    states.refused(),
    states.waiting(),
    states.server_silent(),
    states.stopping(states.active()),
    replace(states.listed(), app=AppView()),
]


@pytest.mark.parametrize("state", READY, ids=lambda state: describe(state, NOW).stage)
async def test_honest_ready_says_yes_only_for_a_licensed_app_or_grace(served: Served, state: State) -> None:
    """HONEST_READY: the seat is ours and the app is licensed, or grace; or licensing is not ours at all."""
    served.source.shown = state
    answer = await served.ask("/readyz")
    assert answer.code == 200
    assert answer.text.startswith("ready: ")


@pytest.mark.parametrize("state", NOT_READY, ids=lambda state: describe(state, NOW).stage)
async def test_honest_ready_says_no_and_why(served: Served, state: State) -> None:
    """HONEST_READY: everything else is 503 with one line that tells the reason."""
    served.source.shown = state
    answer = await served.ask("/readyz")
    assert answer.code == 503
    assert answer.text == f"not ready: {describe(state, NOW).why}\n"


async def test_ready_ends_with_the_first_moment_of_a_stop_and_live_does_not(served: Served) -> None:
    """Rule 19: `/readyz` 503 from the first moment, `/livez` 200 to the end."""
    served.source.shown = states.active()
    assert (await served.ask("/readyz")).code == 200
    served.source.shown = states.stopping(states.active())
    assert (await served.ask("/readyz")).code == 503
    assert (await served.ask("/livez")).code == 200


async def test_ready_ends_with_the_grace(served: Served) -> None:
    """HONEST_READY: a probe looks at the clock, not at the last event."""
    served.source.shown = states.app_silent()
    served.source.clock.now = NOW + 86400
    assert (await served.ask("/readyz")).code == 503


async def test_started_means_that_the_settings_are_right_and_we_listen(served: Served) -> None:
    """The app must run before a seat can be taken, so its start is not held back."""
    assert (await served.ask("/startupz")).code == 200


@pytest.mark.parametrize(
    ("policy", "state", "code"),
    [
        (replace(states.POLICY, id_source=IdSource.POD, given_id=states.ID), states.listed(), 503),
        (replace(states.POLICY, id_source=IdSource.POD, given_id=states.ID), states.active(), 200),
        (replace(states.POLICY, route=Route.APP), states.listed(), 503),
        (replace(states.POLICY, route=Route.APP), states.active(), 200),
    ],
    ids=["pod-unheld", "pod-held", "app-unrecorded", "app-recorded"],
)
async def test_started_holds_back_the_app_where_the_id_is_known_before_it(
    served: Served, policy: states.Policy, state: State, code: int
) -> None:
    """Source `pod`: the seat is ours first; route `app`: the record is written first."""
    served.source.shown = replace(state, policy=policy)
    assert (await served.ask("/startupz")).code == code


async def test_live_fails_only_for_a_loop_that_is_overdue(served: Served) -> None:
    """And says which one and for how long."""
    served.pulses.turned("agent", 120.0)
    served.pulses.turned("keys", 35.0)
    served.source.clock.now += 35
    assert (await served.ask("/livez")).text == "live: all loops turn\n"
    served.source.clock.now += 1
    answer = await served.ask("/livez")
    assert (answer.code, answer.text) == (503, "not live: keys has not turned for 36 s, its limit is 35 s\n")
    served.pulses.turned("keys", 35.0)
    assert (await served.ask("/livez")).code == 200


async def test_live_does_not_care_for_the_outside(served: Served) -> None:
    """Ledger, server and app all down: a restart would mend nothing."""
    served.source.shown = states.ledger_down(states.server_silent())
    assert (await served.ask("/livez")).code == 200


@pytest.mark.parametrize(
    ("path", "question", "code"), [("/startupz", "started", 200), ("/readyz", "ready", 503), ("/livez", "live", 200)]
)
async def test_verbose_gives_the_reasons_as_json(served: Served, path: str, question: str, code: int) -> None:
    """`?verbose` with or without a value; the code is the same as without."""
    served.source.shown = states.refused("All your seats are in use.")
    for query in ("?verbose", "?verbose=true"):
        answer = await served.ask(path + query)
        assert answer.code == code
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.json[question] is (code == 200)
        assert answer.json["state"] == "refused"
    if question != "live":
        assert answer.json["reasons"][0] == "All your seats are in use."
        assert answer.json["next_attempt_in_seconds"] == 42.0


@pytest.mark.parametrize(
    ("state", "once"),
    [
        (states.refused("All your seats are in use."), "All your seats are in use."),
        (states.waiting(), "All seats are in use"),
        (states.app_silent(), "no answer within 10 s"),
        (states.server_silent(), "no answer within 10 s"),
        (states.ledger_down(states.listed()), "ledger.dir: read-only"),
    ],
)
async def test_no_sentence_is_given_twice(served: Served, state: State, once: str) -> None:
    """What the first reason says need not be said again as a fault."""
    served.source.shown = state
    reasons = (await served.ask("/readyz?verbose")).json["reasons"]
    assert sum(once in reason for reason in reasons) == 1, reasons


async def test_whose_trouble_it_is_is_said_once(served: Served) -> None:
    """Messages of outages name whose they are; a sentence that has done so already leaves that out."""
    state = states.app_silent()
    lost = AppLost(None, AppTrouble.REFUSED, "app: the connection was refused", NOW - 5, NOW - 5)
    served.source.shown = replace(state, app=AppView(contact=lost))
    reasons = (await served.ask("/readyz?verbose")).json["reasons"]
    assert reasons == ["the app does not answer: the connection was refused"]
    served.source.shown = replace(states.active(), server=states.server_silent().server)
    reasons = (await served.ask("/readyz?verbose")).json["reasons"]
    assert reasons == ["grace: the app is licensed, the activation server does not answer (no answer within 10 s)"]


@pytest.mark.parametrize("path", ["/startupz", "/readyz", "/livez", "/metrics", "/status", "/readyz?verbose"])
async def test_head_is_answered_like_get_without_the_body(served: Served, path: str) -> None:
    """A load balancer may ask with HEAD."""
    get, head = await served.ask(path), await served.ask(path, "HEAD")
    assert (head.code, head.headers["content-type"]) == (get.code, get.headers["content-type"])
    assert head.text == ""


@pytest.mark.parametrize("path", ["/", "/nothing", "/status/", "/readyz/x", "/%2e%2e/etc/passwd", "/metrics%00"])
async def test_any_other_route_is_one_line_of_404(served: Served, path: str) -> None:
    """Nothing listens that could do more."""
    answer = await served.ask(path)
    assert answer.code == 404
    assert answer.text.count("\n") == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_no_route_changes_anything(served: Served, method: str) -> None:
    """Whatever is not GET or HEAD is refused, known path or not."""
    known = await served.ask("/status", method)
    assert (known.code, known.headers["allow"]) == (405, "GET, HEAD")
    assert (await served.ask("/stop", method)).code == 404


async def test_metrics_are_served_as_prometheus_reads_them(served: Served) -> None:
    """The text format with its version, the last state's gauges in it."""
    served.metrics.stepped(states.active())
    answer = await served.ask("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nmdlicense_ready 1.0\n" in answer.text


async def test_status_of_an_active_sidecar(served: Served) -> None:
    """State, seat, record, keys, app, ledger, version and uptime in one object."""
    served.source.shown = states.active()
    served.pulses.turned("agent", 10.0)
    shown = (await served.ask("/status")).json
    assert (shown["state"], shown["ready"], shown["next_attempt_at"]) == ("active", True, None)
    assert (shown["version"], shown["uptime_seconds"]) == ("1.2.3", 100.0)
    seat = shown["seat"]
    assert (seat["deployment_id"], seat["key_fingerprint"], seat["tenure"]) == (
        states.ID,
        states.FINGERPRINT,
        "held",
    )
    record = seat["record"]
    assert (record["phase"], record["open"], record["age_seconds"], record["renewed_seconds_ago"]) == (
        "active",
        False,
        60.0,
        5.0,
    )
    assert shown["keys"]["current"] == states.FINGERPRINT
    assert (shown["app"]["licensed"], shown["app"]["expires_at"]) == (True, "2027-02-14T08:00:00Z")
    assert shown["ledger"]["works"] is True
    assert (shown["last_errors"], shown["debts"], shown["loops"]) == ({}, [], {"agent": 0.0})


async def test_status_tells_what_it_waits_for_and_when_it_tries_again(served: Served) -> None:
    """In seconds for a program, as UTC for a person; with the server's own sentence."""
    served.source.shown = states.refused("All your seats are in use.")
    shown = (await served.ask("/status")).json
    assert (shown["state"], shown["waiting_for"]) == ("refused", "the activation server")
    assert (shown["next_attempt_in_seconds"], shown["next_attempt_at"]) == (42.0, "2027-01-15T08:00:42Z")
    assert shown["last_errors"]["refusal"] == {
        "reason": "no_seats",
        "text": "All your seats are in use.",
        "for_seconds": 20.0,
        "times": 3,
    }


async def test_status_shows_every_outage_of_the_outside(served: Served) -> None:
    """Each of the three things that may be down, with how long and how often."""
    lost = states.app_silent().app
    served.source.shown = replace(states.ledger_down(states.server_silent()), app=lost)
    errors = (await served.ask("/status")).json["last_errors"]
    assert {name: (error["reason"], error["for_seconds"], error["times"]) for name, error in errors.items()} == {
        "activation_server": ("timeout", 7.0, 4),
        "app": ("silent", 5.0, 2),
        "ledger": ("ledger", 9.0, 3),
    }


async def test_status_shows_debts_while_stopping(served: Served) -> None:
    """A person sees which seat is still to be given back, and why."""
    served.source.shown = states.stopping(states.active())
    debts = (await served.ask("/status")).json["debts"]
    assert [(debt["deployment_id"], debt["cause"]) for debt in debts] == [(states.ID, "shutdown")]


async def test_times_that_no_calendar_knows_are_shown_as_unknown(served: Served) -> None:
    """An app may report any number for the expiry; the page is shown all the same."""
    state = states.active()
    met = state.app.contact
    assert isinstance(met, states.AppMet)
    for expires_at in (0.0, -1.0, 1e18, float("nan"), float("inf")):
        report = replace(met.report, expires_at=expires_at)
        served.source.shown = replace(state, app=replace(state.app, contact=replace(met, report=report)))
        served.metrics.stepped(served.source.shown)
        assert (await served.ask("/status")).json["app"]["expires_at"] is None
        assert (await served.ask("/metrics")).code == 200


ALL = [
    *READY,
    *NOT_READY,
    replace(states.starting(), seat=Adopted((states.Stored(states.record(open=True), "v"),))),
    replace(states.listed(), app=replace(states.app_silent().app, contact=states.NEVER_MET)),
    replace(states.listed(), seat=Seat(identity=states.IDENTITY, tenure=Unsure())),
    replace(states.active(), successor=Seat(identity=states.IDENTITY)),
]


@pytest.mark.parametrize("state", ALL, ids=lambda state: describe(state, NOW).stage)
async def test_status_can_be_asked_in_any_state(served: Served, state: State) -> None:
    """Every region of the state has a plain form."""
    served.source.shown = state
    answer = await served.ask("/status")
    assert (answer.code, answer.json["state"]) == (200, describe(state, NOW).stage)


async def test_no_secret_in_any_answer(served: Served) -> None:
    """NO_SECRET: a server that repeats the key in its sentence does not get it shown; nor does a line break."""
    served.source.shown = states.refused(f"The key {KEY}\r\nis unknown, see ?key={KEY}&x=\ud800", Failure.INVALID_KEY)
    served.metrics.stepped(served.source.shown)
    for path in ("/startupz", "/readyz", "/readyz?verbose", "/livez", "/metrics", "/status"):
        answer = await served.ask(path)
        leaked = "EFGH" in answer.text
        assert not leaked, path
        assert answer.code in (200, 503)
    assert (await served.ask("/readyz")).text.count("\n") == 1


async def test_both_address_families_reach_it(served: Served) -> None:
    """A kubelet asks the pod's address, whichever family that is."""
    assert (await served.ask("/livez", host="127.0.0.1")).code == 200
    if socket.has_dualstack_ipv6():
        assert (await served.ask("/livez", host="::1")).code == 200


async def test_without_ipv6_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node may have IPv6 switched off, at build or by sysctl."""
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with closing(web_module.listen(0)) as listener:
        assert listener.family is socket.AF_INET
        assert listener.getsockname()[1] > 0


async def test_a_port_that_is_taken_is_a_fault_of_the_settings() -> None:
    """One sentence that names the setting and says what to do, and nothing is left open."""
    source = Source()
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        web = Web(port, source, Metrics("1"), Pulses(source.clock))
        with pytest.raises(
            Misconfigured, match=rf"^http\.port: cannot listen on port {port}: Address already in use\."
        ):
            await web.start()
        await web.stop()


async def test_the_lag_of_the_event_loop_is_measured_while_it_runs() -> None:
    """A blocked loop shows as the worst delay of the last minute; after the stop nothing measures."""
    lag = Lag(every=0.005)
    assert lag.worst() == 0.0
    lag.start()
    time.sleep(0.05)  # noqa: ASYNC251 - this is what it is to find out
    await asyncio.sleep(0.01)
    lag.stop()
    lag.stop()
    assert lag.worst() >= 0.04
    seen = len(lag._samples)
    await asyncio.sleep(0.02)
    assert len(lag._samples) == seen
