"""Every metric of ``observability.md`` that can occur with the ledger in use, in a registry of its own.

All series that can occur exist from the first scrape on, at 0, so that an alert on an increase sees the first one. No
label ever carries a key, a deployment ID, an address or the text of an error. A scrape reads what is there and waits
for nothing.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Final

from sidecar.core.commands import Notice, Occasion
from sidecar.core.reasons import REFUSALS, AppEnd, AppTrouble, Cause, Failure
from sidecar.core.records import Phase
from sidecar.core.state import State
from sidecar.core.view import Stage
from sidecar.observe.exposition import Exposition
from sidecar.observe.instruments import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from sidecar.observe.state_gauges import CHECKS, PREFIX, StateGauges, holds_seat
from sidecar.ports import Outcome, ReclaimResult, Target, WatchEnd

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_OUTAGES: Final = (
    Failure.NETWORK,
    Failure.TIMEOUT,
    Failure.TLS,
    Failure.HTTP_5XX,
    Failure.RATE_LIMITED,
    Failure.PROTOCOL,
)
_SHOWN: Final = {Failure.INVALID_REQUEST.value: Failure.REFUSED.value}
"""The reason as it is counted where the agreed list of observability.md has no word for it; the log has."""
_UNREFUSED: Final = (Outcome.OK, Outcome.RETRYABLE, Outcome.ERROR)
_ANY: Final = (Outcome.OK, Outcome.REFUSED, Outcome.RETRYABLE, Outcome.ERROR)
Operations = dict[tuple[str, str], tuple[Outcome, ...]]
_EVERYWHERE: Final[Operations] = {
    (Target.ACTIVATION_SERVER, "activate"): _ANY,
    (Target.ACTIVATION_SERVER, "deactivate"): _UNREFUSED,
    (Target.APP, "report"): _UNREFUSED,
    (Target.APP, "upload"): _ANY,
    (Target.APP, "activate"): _UNREFUSED,
}
READ: Final = "read"
_LEDGER: Final[dict[str, tuple[Outcome, ...]]] = {"list": _UNREFUSED, READ: _UNREFUSED, "write": _ANY, "erase": _ANY}
KUBERNETES: Final = "kubernetes"
"""The target of everything that is asked of the API server. The ledger is asked there too, so ``Target.LEDGER`` is
counted under this name: two targets for one server would halve every ratio."""
WATCH: Final = "watch"
_API_SERVER: Final = {"pod": _UNREFUSED, "event": _UNREFUSED, WATCH: _UNREFUSED}
"""What the API server is asked besides: for pods (the own one, owners of records), to take an event, for a stream."""
_UNTIMED: Final = frozenset({WATCH, READ})
"""A stream lasts until its end, and single records are read too rarely for a dozen series of the 300."""
_ENDS: Final[dict[str, AppEnd]] = {
    AppTrouble.REFUSED: AppEnd.EXIT,
    AppTrouble.SILENT: AppEnd.UNREACHABLE,
    **{end.value: end for end in AppEnd},
}
"""How the app failed, by how it did not answer, and in Kubernetes by what its container's status says (rule 17)."""
_ENDS_OUTSIDE: Final = (AppEnd.EXIT, AppEnd.UNREACHABLE)
_LOST: Final = {Occasion.RECORD_LOST: "lost", Occasion.RECORD_FOREIGN: "foreign"}


def operations(*, kubernetes: bool) -> Operations:
    """Return the requests that exist, with the outcomes their port allows (``refused``: a lost compare-and-swap)."""
    ledger = KUBERNETES if kubernetes else Target.LEDGER.value
    found = _EVERYWHERE | {(ledger, name): outcomes for name, outcomes in _LEDGER.items()}
    if not kubernetes:
        return found
    # Before it decides what to do, a stop knocks at the app's port (rule 18); whether it is refused is an answer.
    return found | {(Target.APP, "knock"): (Outcome.OK,)} | {(KUBERNETES, it): ends for it, ends in _API_SERVER.items()}


class Metrics:
    """What this process has counted and what its last state shows."""

    def __init__(
        self,
        version: str,
        *,
        shutdown_budget: float = 0.0,
        seats_configured: int = 0,
        revision: str = "unknown",
        kubernetes: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Create every series at 0.

        ``shutdown_budget`` in seconds; ``seats_configured`` 0: unknown; ``kubernetes``: the ledger is the API server;
        ``clock`` is the machine's monotonic one, ``wall`` tells seconds since the epoch.
        """
        # A process-wide switch of the library: `_created` would double the counters.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own gap
        self.version = version
        self.registry = CollectorRegistry()
        self._exposition = Exposition(self.registry)
        self._kubernetes = kubernetes
        self._wall = wall
        self._state = StateGauges(clock=clock, wall=wall)
        self.registry.register(self._state)
        self._first_key = True
        build = self._gauge("build_info", "The program that runs.", "version", "revision", "python_version")
        build.labels(version, revision, platform.python_version()).set(1)
        self._gauge("shutdown_budget_seconds", "The time a shutdown may take.").set(shutdown_budget)
        self._gauge("seats_configured", "The seats of the key as configured, 0 if unknown.").set(seats_configured)
        self._lag = self._gauge("event_loop_lag_seconds", "The worst delay of the event loop within the last minute.")
        self._make_seat_metrics()
        self._make_heartbeats()
        self._make_reclaim_metrics()
        self._make_request_metrics()
        self._watch_restarts = self._make_watch_metrics() if kubernetes else None

    # --- what the observers tell --------------------------------------------------------------------------------------

    def stepped(self, state: State) -> None:
        """Keep the state that the next scrape shows."""
        self._state.state = state

    def moved(self, stage: Stage) -> None:
        """Count a change of the state."""
        self._transitions.labels(stage).inc()
        self._changed_at.set(self._wall())

    def noticed(self, notice: Notice) -> None:
        """Count a notice. The state is still the one before the step that it came from."""
        reason = _SHOWN.get(notice.reason, notice.reason)
        match notice.occasion:
            case Occasion.ACTIVATION_ASKED:
                self._activations.inc()
                self._beats.labels("server").inc()
            case Occasion.ACTIVATED:
                self._beat("server")
            case Occasion.ACTIVATION_FAILED | Occasion.ACTIVATION_REFUSED:
                self._activation_failures.labels(reason).inc()
                self._missed.labels("server", reason).inc()
            case Occasion.DELIVERY_FAILED:
                self._activation_failures.labels(Failure.APP).inc()
            case Occasion.RELEASE_ASKED:
                self._releases.labels(reason).inc()
            case Occasion.RELEASE_FAILED:
                self._release_failures.labels(reason).inc()
            case Occasion.RECORD_RENEWED:
                self._beats.labels("record").inc()
                self._beat("record")
            case Occasion.RECORD_FAILED:
                self._miss("record", Failure.LEDGER)
                if not holds_seat(self._state.state):
                    # No ledger, no request (rule 2): this is why no seat is asked for.
                    self._activation_failures.labels(Failure.LEDGER).inc()
            case Occasion.RECORD_LOST | Occasion.RECORD_FOREIGN as occasion:
                self._miss("record", _LOST[occasion])
            case Occasion.APP_CHECKED:
                self._beats.labels("app").inc()
                self._beat("app")
            case Occasion.APP_UNANSWERED:
                self._miss("app", reason)
            case Occasion.APP_FAILED:
                self._app_failures.labels(_ENDS[reason]).inc()
            case Occasion.KEY_CHANGED:
                self._key_reloads.inc(0 if self._first_key else 1)
                self._first_key = False
            case Occasion.KEY_UNUSABLE:
                self._key_reload_failures.inc()
            case _:
                pass  # told by log lines and by the state

    def requested(self, target: Target, operation: str, outcome: Outcome, seconds: float) -> None:
        """Count a request and its duration; of a watch only that it was asked for: how long it lasts says nothing."""
        asked = KUBERNETES if self._kubernetes and target is Target.LEDGER else target.value
        if operation not in _UNTIMED:
            self._durations.labels(asked, operation).observe(seconds)
        self._requests.labels(asked, operation, outcome).inc()

    def watch_restarted(self, reason: WatchEnd) -> None:
        """Count a watch that began anew before its time."""
        if self._watch_restarts is not None:
            self._watch_restarts.labels(reason).inc()

    def scanned(self, phases: dict[Phase, int], orphans: dict[Phase, int]) -> None:
        """Keep what the last scan found."""
        for phase in Phase:
            self._records.labels(phase).set(phases.get(phase, 0))
            self._orphans.labels(phase).set(orphans.get(phase, 0))
        self._scanned_at.set(self._wall())

    def scan_failed(self) -> None:
        """Count a scan that could not be finished."""
        self._scan_failures.inc()

    def reclaimed(self, result: ReclaimResult) -> None:
        """Count an attempt to reclaim a seat; one that went as far as asking the server is a release too."""
        if result is not ReclaimResult.PENDING:
            self._reclaims.labels(result).inc()
        if result in (ReclaimResult.RELEASED, ReclaimResult.PENDING, ReclaimResult.FAILED):
            self._releases.labels(Cause.RECLAIM).inc()

    def lag_from(self, worst: Callable[[], float]) -> None:
        """Take the function that tells the worst delay of the event loop, in seconds, whenever somebody scrapes."""
        self._lag.set_function(worst)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format (``CONTENT_TYPE``)."""
        return self._exposition.render()

    # --- what there is ------------------------------------------------------------------------------------------------

    def _make_seat_metrics(self) -> None:
        self._transitions = self._counter("state_transitions_total", "Changes to this state.", "to")
        for stage in Stage:
            self._transitions.labels(stage)
        self._changed_at = self._gauge("state_changed_timestamp_seconds", "When the state changed last.")
        self._activations = self._counter("activation_attempts_total", "Requests for a seat.")
        self._activation_failures = self._counter(
            "activation_failures_total", "What kept the app from being licensed, by reason.", "reason"
        )
        for failure in Failure:
            self._activation_failures.labels(_SHOWN.get(failure, failure))
        self._releases = self._counter("release_attempts_total", "Requests to give a seat back, by cause.", "cause")
        for cause in Cause:
            self._releases.labels(cause)
        self._release_failures = self._counter(
            "release_failures_total",
            "Own seats' releases without a definite answer; for those of others see reclaims_total.",
            "reason",
        )
        for failure in _OUTAGES:
            self._release_failures.labels(failure)
        self._app_failures = self._counter("app_failures_total", "Failures of the app that release its seat.", "reason")
        for how in AppEnd if self._kubernetes else _ENDS_OUTSIDE:
            self._app_failures.labels(how)
        self._key_reloads = self._counter("key_reloads_total", "Times another key was taken, the first not counted.")
        self._key_reload_failures = self._counter("key_reload_failures_total", "Times the key folder became unusable.")

    def _make_heartbeats(self) -> None:
        self._beats = self._counter("heartbeat_attempts_total", "Checks of what a seat rests on.", "check")
        self._missed = self._counter("heartbeat_failures_total", "Checks that did not succeed.", "check", "reason")
        self._beaten_at = self._gauge("last_heartbeat_success_timestamp_seconds", "The last success.", "check")
        for check in CHECKS:
            self._beats.labels(check)
            self._beaten_at.labels(check)
        reasons = {
            "record": (Failure.LEDGER, *_LOST.values()),
            "app": tuple(AppTrouble),
            "server": (*_OUTAGES, *sorted(REFUSALS - set(_SHOWN))),
        }
        for check, words in reasons.items():
            for word in words:
                self._missed.labels(check, word)

    def _make_reclaim_metrics(self) -> None:
        self._records = self._gauge("seat_records", "Seat records at the last scan.", "phase")
        self._orphans = self._gauge("orphaned_seat_records", "Seat records without an owner at the last scan.", "phase")
        for phase in Phase:
            self._records.labels(phase)
            self._orphans.labels(phase)
        self._reclaims = self._counter("reclaims_total", "Attempts to take back the seats of others.", "result")
        for result in ReclaimResult:
            if result is not ReclaimResult.PENDING:
                self._reclaims.labels(result)
        self._scan_failures = self._counter("reclaim_scan_failures_total", "Scans that could not be finished.")
        self._scanned_at = self._gauge("last_reclaim_scan_success_timestamp_seconds", "The last finished scan.")

    def _make_request_metrics(self) -> None:
        self._durations = Histogram(
            f"{PREFIX}request_duration_seconds",
            "How long a request took, whatever its outcome.",
            ("target", "operation"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._requests = self._counter(
            "requests_total",
            "Requests of the sidecar and its reclaimer: whom they asked, for what, how it ended. Outcome refused: "
            "a definite no, or a write that somebody else was faster with.",
            "target",
            "operation",
            "outcome",
        )
        for (target, operation), outcomes in operations(kubernetes=self._kubernetes).items():
            if operation not in _UNTIMED:
                self._durations.labels(target, operation)
            for outcome in outcomes:
                self._requests.labels(target, operation, outcome)

    def _make_watch_metrics(self) -> Counter:
        restarts = self._counter("watch_restarts_total", "Watches that began anew before their time.", "reason")
        for reason in WatchEnd:
            restarts.labels(reason)
        return restarts

    def _beat(self, check: str) -> None:
        self._beaten_at.labels(check).set(self._wall())

    def _miss(self, check: str, reason: str) -> None:
        self._beats.labels(check).inc()
        self._missed.labels(check, reason).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}{name}", text, labels, registry=self.registry)
