"""The registry holds what observability.md promises, from the first scrape on, and counts what notices tell."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar import agent
from sidecar.core.commands import Notice, Occasion
from sidecar.core.policy import IdSource, Mode
from sidecar.core.reasons import AppEnd, AppTrouble, Cause, Failure
from sidecar.core.records import Listing, Phase
from sidecar.core.view import Stage
from sidecar.counted import CountedLedger
from sidecar.errors import Conflict, LedgerOutage
from sidecar.observe.metrics import Metrics, operations
from sidecar.ports import Outcome, ReclaimResult, Target, WatchEnd
from tests.contract.seats import seat
from tests.simulation.memory_ledger import MemoryLedger
from tests.simulation.silence import SilentObserver
from tests.unit.observe import states
from tests.unit.observe.states import FINGERPRINT, NOW, WALL, Clock

PAGE = [
    "build_info",
    "license_info",
    "state",
    "state_changed_timestamp_seconds",
    "state_transitions_total",
    "ready",
    "license_expiration_timestamp_seconds",
    "grace_end_timestamp_seconds",
    "activation_attempts_total",
    "activation_failures_total",
    "release_attempts_total",
    "release_failures_total",
    "seat_held",
    "seats_configured",
    "heartbeat_attempts_total",
    "heartbeat_failures_total",
    "last_heartbeat_success_timestamp_seconds",
    "heartbeat_interval_seconds",
    "seat_records",
    "orphaned_seat_records",
    "reclaims_total",
    "reclaim_scan_failures_total",
    "last_reclaim_scan_success_timestamp_seconds",
    "request_duration_seconds",
    "requests_total",
    "app_up",
    "app_license_valid",
    "app_failures_total",
    "key_reloads_total",
    "key_reload_failures_total",
    "watch_restarts_total",
    "time_to_active_seconds",
    "shutdown_budget_seconds",
    "event_loop_lag_seconds",
]
"""Every name of the table in observability.md."""
POD_ONLY = {(Target.LEDGER, "pod"), (Target.APP, "knock")}
"""What is asked where there are pods and nowhere else."""
KUBERNETES_ONLY = {"watch_restarts_total": "outside Kubernetes nothing is watched over a connection that could break"}

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def make(clock: Clock | None = None, *, kubernetes: bool = False) -> Metrics:
    """Return metrics with clocks that stand still."""
    return Metrics("1.2.3", shutdown_budget=20.0, kubernetes=kubernetes, clock=clock or Clock(), wall=Clock(WALL))


def values(metrics: Metrics) -> Values:
    """Parse the text as Prometheus does."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name.removeprefix("mdlicense_"), frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the value of one series."""
    return values(metrics)[name, frozenset(labels.items())]


def page(*, kubernetes: bool) -> list[str]:
    """Return the names that are exported with this kind of ledger."""
    return [name for name in PAGE if kubernetes or name not in KUBERNETES_ONLY]


def target_of(label: str, *, kubernetes: bool) -> Target:
    """Return what whoever asks calls the target that is counted under this label."""
    return Target.LEDGER if kubernetes and label == "kubernetes" else Target(label)


@pytest.mark.parametrize(
    ("name", "kubernetes"), [(name, kind) for kind in (False, True) for name in page(kubernetes=kind)]
)
def test_every_metric_of_the_page_has_a_series_before_anything_happened(name: str, kubernetes: bool) -> None:
    """An alert may name any metric of the page and finds it, with a value, at the first scrape."""
    names = {name for name, _labels in values(make(kubernetes=kubernetes))}
    assert name in names or f"{name}_count" in names


@pytest.mark.parametrize("kubernetes", [False, True])
def test_there_is_no_metric_that_the_page_does_not_have(kubernetes: bool) -> None:
    """Names are an agreement: what is not on the page is not exported, `_created` least of all."""
    text = make(kubernetes=kubernetes).render().decode()
    types = [line.split()[2].removeprefix("mdlicense_") for line in text.splitlines() if line.startswith("# TYPE")]
    assert sorted(types) == sorted(page(kubernetes=kubernetes))
    assert len(types) == len(set(types))
    assert "_created" not in text


@pytest.mark.parametrize("kubernetes", [False, True])
def test_at_most_300_series_even_after_everything_has_happened(kubernetes: bool) -> None:
    """All label values are known beforehand: whatever happens adds no series."""
    metrics = make(kubernetes=kubernetes)
    before = len(values(metrics))
    failures = list(AppEnd) if kubernetes else []
    for occasion, reasons in {
        Occasion.ACTIVATION_FAILED: [each for each in Failure if each.value not in ("app", "ledger")],
        Occasion.RELEASE_ASKED: list(Cause),
        Occasion.RELEASE_FAILED: [Failure.NETWORK, Failure.TIMEOUT, Failure.TLS, Failure.HTTP_5XX, Failure.PROTOCOL],
        Occasion.APP_UNANSWERED: list(AppTrouble),
        Occasion.APP_FAILED: [AppTrouble.REFUSED.value, AppTrouble.SILENT.value, *failures],
        **{each: [Failure.LEDGER] for each in (Occasion.RECORD_FAILED, Occasion.RECORD_LOST, Occasion.RECORD_FOREIGN)},
    }.items():
        for reason in reasons:
            metrics.noticed(Notice(occasion=occasion, reason=reason))
    for (label, operation), outcomes in operations(kubernetes=kubernetes).items():
        for outcome in outcomes:
            metrics.requested(target_of(label, kubernetes=kubernetes), operation, outcome, 0.1)
    for result in ReclaimResult:
        metrics.reclaimed(result)
    for stage in Stage:
        metrics.moved(stage)
    for reason in WatchEnd:
        metrics.watch_restarted(reason)
    metrics.scanned({Phase.ACTIVE: 2}, {})
    metrics.stepped(states.active())
    assert len(values(metrics)) == before
    assert 200 < before <= 300


def test_the_ledger_is_asked_under_the_name_of_what_answers() -> None:
    """In Kubernetes the ledger is the API server: one target, and no series of a ledger that is not in use."""
    for kubernetes, label, other in ((True, "kubernetes", "ledger"), (False, "ledger", "kubernetes")):
        metrics = make(kubernetes=kubernetes)
        metrics.requested(Target.LEDGER, "write", Outcome.REFUSED, 0.2)
        assert value(metrics, "requests_total", target=label, operation="write", outcome="refused") == 1
        assert value(metrics, "request_duration_seconds_count", target=label, operation="write") == 1
        assert not [labels for _name, labels in values(metrics) if ("target", other) in labels]


@pytest.mark.parametrize("kubernetes", [False, True])
def test_every_request_of_the_agent_is_known_beforehand(kubernetes: bool) -> None:
    """What the agent asks and how it calls it has its series from the start, with either ledger."""
    known = {(target_of(label, kubernetes=kubernetes), name) for label, name in operations(kubernetes=kubernetes)}
    asked = set(agent._NAMES.values()) - (set() if kubernetes else POD_ONLY)
    assert asked
    assert not asked - known


@pytest.mark.parametrize("kubernetes", [False, True])
async def test_every_request_of_the_reclaimer_is_counted_under_a_known_name(kubernetes: bool) -> None:
    """Its lists, reads, claims and erasures stand beside the agent's, and how they ended; a lost race is refused."""
    metrics = make(kubernetes=kubernetes)
    before = len(values(metrics))

    class Telling(SilentObserver):
        def requested(self, target: Target, operation: str, outcome: Outcome, seconds: float) -> None:
            metrics.requested(target, operation, outcome, seconds)

    fail: list[Exception] = []

    async def trouble(_operation: str, _name: str) -> None:
        if fail:
            raise fail.pop()

    ledger = CountedLedger(MemoryLedger().seen_by(trouble), Telling())
    first = await ledger.create(seat())
    with pytest.raises(Conflict):
        await ledger.create(seat())
    second = await ledger.replace(first, seat(open=False))
    fail = [LedgerOutage("away")]
    with pytest.raises(LedgerOutage):
        await ledger.list()
    fail = [ValueError("a bug")]
    with pytest.raises(ValueError, match="a bug"):
        await ledger.erase(second)
    await ledger.list()
    assert await ledger.read(second.name) == second
    await ledger.erase(second)
    async with aclosing(ledger.follow()) as listings:
        assert await anext(listings) == Listing(())
    asked = "kubernetes" if kubernetes else "ledger"
    expected = {
        ("write", "ok"): 2,
        ("write", "refused"): 1,
        ("list", "retryable"): 1,
        ("list", "ok"): 1,
        ("read", "ok"): 1,
        ("erase", "error"): 1,
        ("erase", "ok"): 1,
    }
    for (operation, outcome), times in expected.items():
        found = value(metrics, "requests_total", target=asked, operation=operation, outcome=outcome)
        assert found == times, (operation, outcome)
    assert value(metrics, "request_duration_seconds_count", target=asked, operation="write") == 3
    assert len(values(metrics)) == before


def test_a_request_counter_says_what_it_counts() -> None:
    """A person reads it in the metrics browser."""
    (text,) = [it for it in make().render().decode().splitlines() if it.startswith("# HELP mdlicense_requests_total")]
    assert "reclaimer" in text


def test_a_watch_is_counted_and_not_timed() -> None:
    """A stream ends when the server says so: its duration would only spoil the quantiles of requests."""
    metrics = make(kubernetes=True)
    metrics.requested(Target.LEDGER, "watch", Outcome.OK, 240.0)
    metrics.watch_restarted(WatchEnd.GONE)
    assert value(metrics, "requests_total", target="kubernetes", operation="watch", outcome="ok") == 1
    assert value(metrics, "watch_restarts_total", reason="gone") == 1
    assert not [
        labels
        for name, labels in values(metrics)
        if name.startswith("request_duration") and ("operation", "watch") in labels
    ]


@pytest.mark.parametrize("reason", AppEnd)
def test_what_the_status_of_a_pod_says_is_counted_as_it_says_it(reason: str) -> None:
    """In Kubernetes the container's status tells how the app failed (rule 17), and each way has its series."""
    metrics = make(kubernetes=True)
    assert value(metrics, "app_failures_total", reason=reason) == 0
    metrics.noticed(Notice(occasion=Occasion.APP_FAILED, reason=reason))
    assert value(metrics, "app_failures_total", reason=reason) == 1


def test_every_occasion_is_taken() -> None:
    """A notice that the core may learn to give does not break the counting."""
    metrics = make()
    reasons = {Occasion.RELEASE_ASKED: "shutdown", Occasion.APP_FAILED: "silent", Occasion.APP_UNANSWERED: "silent"}
    for occasion in Occasion:
        metrics.noticed(Notice(occasion=occasion, reason=reasons.get(occasion, "network")))
    assert value(metrics, "activation_attempts_total") == 1


@pytest.mark.parametrize(
    ("notice", "name", "labels"),
    [
        (Notice(occasion=Occasion.ACTIVATION_ASKED), "activation_attempts_total", {}),
        (Notice(occasion=Occasion.ACTIVATION_ASKED), "heartbeat_attempts_total", {"check": "server"}),
        (
            Notice(occasion=Occasion.ACTIVATION_FAILED, reason=Failure.TIMEOUT),
            "activation_failures_total",
            {"reason": "timeout"},
        ),
        (
            Notice(occasion=Occasion.ACTIVATION_REFUSED, reason=Failure.NO_SEATS),
            "activation_failures_total",
            {"reason": "no_seats"},
        ),
        (
            Notice(occasion=Occasion.ACTIVATION_REFUSED, reason=Failure.EXPIRED),
            "heartbeat_failures_total",
            {"check": "server", "reason": "expired"},
        ),
        (  # the agreed list of reasons has no word of its own for it
            Notice(occasion=Occasion.ACTIVATION_REFUSED, reason=Failure.INVALID_REQUEST),
            "activation_failures_total",
            {"reason": "refused"},
        ),
        (Notice(occasion=Occasion.DELIVERY_FAILED), "activation_failures_total", {"reason": "app"}),
        (
            Notice(occasion=Occasion.RELEASE_ASKED, reason=Cause.SHUTDOWN),
            "release_attempts_total",
            {"cause": "shutdown"},
        ),
        (
            Notice(occasion=Occasion.RELEASE_FAILED, reason=Failure.TLS),
            "release_failures_total",
            {"reason": "tls"},
        ),
        (Notice(occasion=Occasion.RECORD_RENEWED), "heartbeat_attempts_total", {"check": "record"}),
        (Notice(occasion=Occasion.RECORD_FAILED), "heartbeat_failures_total", {"check": "record", "reason": "ledger"}),
        (Notice(occasion=Occasion.RECORD_FAILED), "heartbeat_attempts_total", {"check": "record"}),
        (Notice(occasion=Occasion.RECORD_FAILED), "activation_failures_total", {"reason": "ledger"}),
        (Notice(occasion=Occasion.RECORD_LOST), "heartbeat_failures_total", {"check": "record", "reason": "lost"}),
        (
            Notice(occasion=Occasion.RECORD_FOREIGN),
            "heartbeat_failures_total",
            {"check": "record", "reason": "foreign"},
        ),
        (Notice(occasion=Occasion.APP_CHECKED), "heartbeat_attempts_total", {"check": "app"}),
        (
            Notice(occasion=Occasion.APP_UNANSWERED, reason=AppTrouble.FORBIDDEN),
            "heartbeat_failures_total",
            {"check": "app", "reason": "forbidden"},
        ),
        (Notice(occasion=Occasion.APP_FAILED, reason=AppTrouble.REFUSED), "app_failures_total", {"reason": "exit"}),
        (
            Notice(occasion=Occasion.APP_FAILED, reason=AppTrouble.SILENT),
            "app_failures_total",
            {"reason": "unreachable"},
        ),
        (Notice(occasion=Occasion.KEY_UNUSABLE), "key_reload_failures_total", {}),
    ],
)
def test_a_notice_is_counted(notice: Notice, name: str, labels: dict[str, str]) -> None:
    """Each notice of the core adds one to the series that observability.md has for it."""
    metrics = make()
    assert value(metrics, name, **labels) == 0
    metrics.noticed(notice)
    assert value(metrics, name, **labels) == 1


@pytest.mark.parametrize(
    ("occasion", "check"),
    [(Occasion.RECORD_RENEWED, "record"), (Occasion.APP_CHECKED, "app"), (Occasion.ACTIVATED, "server")],
)
def test_a_successful_heartbeat_leaves_its_time(occasion: Occasion, check: str) -> None:
    """Timestamps, not ages: an alert compares them with the time of Prometheus."""
    metrics = make()
    metrics.noticed(Notice(occasion=occasion))
    assert value(metrics, "last_heartbeat_success_timestamp_seconds", check=check) == WALL


def test_the_first_key_is_no_reload() -> None:
    """Every start reads a key; a reload is another key while running."""
    metrics = make()
    metrics.noticed(Notice(occasion=Occasion.KEY_CHANGED))
    assert value(metrics, "key_reloads_total") == 0
    metrics.noticed(Notice(occasion=Occasion.KEY_CHANGED))
    assert value(metrics, "key_reloads_total") == 1


def test_a_record_that_cannot_be_renewed_is_no_failed_activation_while_the_seat_is_held() -> None:
    """`reason="ledger"` says why a seat is not asked for; a held seat is not asked for anyway."""
    metrics = make()
    metrics.stepped(states.active())
    metrics.noticed(Notice(occasion=Occasion.RECORD_FAILED))
    assert value(metrics, "activation_failures_total", reason="ledger") == 0
    assert value(metrics, "heartbeat_failures_total", check="record", reason="ledger") == 1


def test_gauges_show_the_last_state() -> None:
    """Ready, state, seat, licence and app are those of the machine."""
    metrics = make()
    metrics.stepped(states.active())
    shown = values(metrics)
    one = {stage: shown["state", frozenset({("state", stage)})] for stage in (each.value for each in Stage)}
    assert one == {stage: float(stage == "active") for stage in one}
    expected = {"ready": 1, "seat_held": 1, "app_up": 1, "app_license_valid": 1, "time_to_active_seconds": 50}
    assert {name: shown[name, frozenset()] for name in expected} == expected
    assert shown["license_info", frozenset({("product", "ICAP"), ("key_fingerprint", FINGERPRINT)})] == 1
    assert shown["license_expiration_timestamp_seconds", frozenset()] == WALL + 86400 * 30


def test_a_seat_whose_record_was_taken_away_is_not_held() -> None:
    """HONEST_READY: whoever took the record may have freed the seat; ready it is, by the app, in grace."""
    metrics = make()
    metrics.stepped(states.record_lost())
    assert value(metrics, "seat_held") == 0
    assert value(metrics, "ready") == 1
    assert value(metrics, "state", state="grace") == 1


def test_before_the_first_step_it_is_starting_and_not_ready() -> None:
    """A scrape that comes first is answered all the same."""
    metrics = make()
    assert value(metrics, "state", state="starting") == 1
    assert value(metrics, "ready") == 0


def test_a_grace_shows_its_end_and_runs_out_without_any_step() -> None:
    """The scrape looks at the clock: a grace that ended since the last step is not ready any more."""
    clock = Clock()
    metrics = make(clock)
    metrics.stepped(states.refused_yet_licensed())
    assert value(metrics, "ready") == 1
    assert value(metrics, "grace_end_timestamp_seconds") == pytest.approx(WALL - 20 + 86400)
    clock.now = NOW - 20 + 86400
    assert value(metrics, "ready") == 0
    assert value(metrics, "grace_end_timestamp_seconds") == 0
    assert value(metrics, "state", state="refused") == 1


def test_the_licence_under_way_tells_its_end_before_the_app_does() -> None:
    """While it is being delivered the file is the only source of the expiry."""
    metrics = make()
    metrics.stepped(states.delivering())
    assert value(metrics, "license_expiration_timestamp_seconds") == WALL + 1000
    assert value(metrics, "app_license_valid") == 0


def test_an_app_that_does_not_answer_is_down_and_not_said_to_be_licensed() -> None:
    """Its last report is no present truth."""
    metrics = make()
    metrics.stepped(states.app_silent())
    assert (value(metrics, "app_up"), value(metrics, "app_license_valid"), value(metrics, "ready")) == (0, 0, 1)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (states.POLICY, {"record": 15.0, "app": 15.0, "server": 86400.0}),
        (replace(states.POLICY, mode=Mode.OBSERVE), {"record": 0.0, "app": 15.0, "server": 0.0}),
        (replace(states.POLICY, mode=Mode.OFF), {"record": 0.0, "app": 0.0, "server": 0.0}),
        (
            replace(states.POLICY, id_source=IdSource.POD, revalidate=0.0),
            {"record": 15.0, "app": 0.0, "server": 0.0},
        ),
    ],
)
def test_intervals_tell_which_heartbeats_there_are(policy: states.Policy, expected: dict[str, float]) -> None:
    """0 means "not made": an alert on stale heartbeats leaves it out."""
    metrics = make()
    metrics.stepped(states.starting(policy))
    assert {check: value(metrics, "heartbeat_interval_seconds", check=check) for check in expected} == expected


def test_requests_are_counted_and_measured() -> None:
    """One request: one count by outcome, one duration in its bucket."""
    metrics = make()
    metrics.requested(Target.APP, "report", Outcome.RETRYABLE, 0.2)
    labels = {"target": "app", "operation": "report"}
    assert value(metrics, "requests_total", outcome="retryable", **labels) == 1
    assert value(metrics, "request_duration_seconds_bucket", le="0.1", **labels) == 0
    assert value(metrics, "request_duration_seconds_bucket", le="0.25", **labels) == 1


def test_a_scan_replaces_what_the_one_before_found() -> None:
    """Gauges by phase, those that are gone back at 0; and the scan's time."""
    metrics = make()
    metrics.scanned({Phase.ACTIVE: 3, Phase.RELEASING: 1}, {Phase.RELEASING: 1})
    metrics.scanned({Phase.ACTIVE: 2}, {})
    assert value(metrics, "seat_records", phase="active") == 2
    assert value(metrics, "seat_records", phase="releasing") == 0
    assert value(metrics, "orphaned_seat_records", phase="releasing") == 0
    assert value(metrics, "last_reclaim_scan_success_timestamp_seconds") == WALL
    metrics.scan_failed()
    assert value(metrics, "reclaim_scan_failures_total") == 1


def test_a_reclaim_that_asked_the_server_is_a_release_too() -> None:
    """A conflict or an unknown key ends before any request; a seat that is looked at again counts once."""
    metrics = make()
    for result in ReclaimResult:
        metrics.reclaimed(result)
    counted = [result for result in ReclaimResult if result is not ReclaimResult.PENDING]
    assert [value(metrics, "reclaims_total", result=result) for result in counted] == [1, 1, 1, 1]
    assert value(metrics, "release_attempts_total", cause="reclaim") == 3


def test_two_objects_count_apart() -> None:
    """One registry for each object: a simulation may hold a thousand."""
    one, other = make(), make()
    one.noticed(Notice(occasion=Occasion.ACTIVATION_ASKED))
    assert value(other, "activation_attempts_total") == 0


def test_no_secret_no_sentence_and_no_id_in_any_label() -> None:
    """NO_SECRET: what a server or an app writes reaches a label only as the masked name of the product."""
    metrics = make()
    state = states.active()
    met = state.app.contact
    assert isinstance(met, states.AppMet)
    product = f"ICAP {states.KEY} \ud800\n" + "x" * 500
    met = replace(met, report=replace(met.report, product=product))
    metrics.stepped(replace(state, app=replace(state.app, contact=met)))
    text = f"key={states.KEY} at https://activation.example/activation?key={states.KEY}"
    metrics.noticed(
        Notice(occasion=Occasion.ACTIVATION_REFUSED, reason=Failure.REFUSED, text=text, identity=states.IDENTITY)
    )
    rendered = metrics.render().decode()
    leaked = [word for word in (states.KEY, states.ID, "activation.example", "xxx" * 100) if word in rendered]
    assert [word[:4] for word in leaked] == []
    assert "mdlicense_license_info" in rendered


def test_the_reasons_of_a_failed_activation_are_those_of_the_agreement() -> None:
    """observability.md has a closed list; a dashboard is built on it."""
    text = Metrics("1").render().decode()
    reasons = {
        sample.labels["reason"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "mdlicense_activation_failures_total"
    }
    network = {"network", "timeout", "tls", "http_5xx", "rate_limited", "protocol"}
    assert reasons == network | {"no_seats", "invalid_key", "invalid_deployment", "expired", "refused", "app", "ledger"}
