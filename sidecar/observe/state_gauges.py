"""The gauges that are a projection of the machine's state, computed when somebody scrapes and not before.

A collector instead of gauges that are set: a step of the machine then costs the metrics nothing, and a scrape can never
show ``ready`` of one moment beside ``state`` of another. It must not keep anything but the last state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from sidecar.core.conclusions import asks_app
from sidecar.core.policy import Mode
from sidecar.core.state import AppMet, Held, Seat, State, Undelivered, last_report, seats
from sidecar.core.view import Stage, View, describe
from sidecar.observe.instruments import Collector, GaugeMetricFamily
from sidecar.secrets import MASKER

PREFIX: Final = "mdlicense_"
CHECKS: Final = ("record", "app", "server")
"""The heartbeats of rule 16: the seat record, the app, the activation server."""
_LONGEST_LABEL: Final = 80


class StateGauges(Collector):
    """Everything in ``observability.md`` that can be read off a state."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        """Take the clocks: ``clock`` is the machine's monotonic one, ``wall`` tells seconds since the epoch."""
        self.state: State | None = None
        self._clock = clock
        self._wall = wall

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every gauge for the last state as it is at this moment; before the first step all but one are 0."""
        state, now = self.state, self._clock()
        view = View(Stage.STARTING, started=False, why="") if state is None else describe(state, now)
        stages = GaugeMetricFamily(f"{PREFIX}state", "1 for the state the sidecar is in.", labels=("state",))
        for stage in Stage:
            stages.add_metric((stage,), float(stage is view.stage))
        yield stages
        yield _gauge("ready", "1 while traffic may come: seat ours and app licensed, or grace.", view.ready)
        yield self._licence_info(state)
        ends = view.grace_ends_at
        yield _gauge(
            "grace_end_timestamp_seconds",
            "When the grace that runs now ends, 0 if none with an end runs.",
            0.0 if ends is None else self._wall() + ends - now,
        )
        yield _gauge(
            "license_expiration_timestamp_seconds", "When the licence expires, 0 if unknown.", _expires_at(state)
        )
        yield _gauge("seat_held", "1 while the activation server has confirmed our seat.", holds_seat(state))
        yield _gauge("app_up", "1 while the app answers.", _app_met(state) is not None)
        met = _app_met(state)
        licensed = met is not None and met.report.licensed is True
        yield _gauge("app_license_valid", "1 while the app answers that it is licensed.", licensed)
        took = 0.0
        if state is not None and state.active_since is not None:
            took = state.active_since - state.started_at
        yield _gauge("time_to_active_seconds", "From the start of the process to its first seat, 0 before.", took)

        interval = GaugeMetricFamily(
            f"{PREFIX}heartbeat_interval_seconds", "The interval of a check, 0 if it is not made.", labels=("check",)
        )
        for check, seconds in _intervals(state).items():
            interval.add_metric((check,), seconds)
        yield interval

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the gauges for the registry, which refuses a second one of the same name."""
        return self.collect()

    @staticmethod
    def _licence_info(state: State | None) -> GaugeMetricFamily:
        product, fingerprint = "", ""
        if state is not None:
            report = last_report(state)
            product = _label(report.product) if report is not None else ""
            if isinstance(state.seat, Seat):
                fingerprint = state.seat.identity.key_fingerprint
            elif state.key.snapshot is not None:
                fingerprint = state.key.snapshot.current or ""
        info = GaugeMetricFamily(
            f"{PREFIX}license_info", "1 once a key is known.", labels=("product", "key_fingerprint")
        )
        info.add_metric((product, fingerprint), float(bool(fingerprint)))
        return info


def holds_seat(state: State | None) -> bool:
    """Tell whether the activation server has confirmed a seat of ours that is not on its way out.

    A record that was taken away takes the confirmation with it: whoever took it may have freed the seat.
    """
    return state is not None and any(isinstance(it.tenure, Held) and it.lost_at is None for it in seats(state))


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}{name}", text, value=float(value))


def _label(text: str) -> str:
    # Written by the app: one lone surrogate would make every scrape fail.
    return MASKER.mask(text)[:_LONGEST_LABEL].encode(errors="replace").decode()


def _app_met(state: State | None) -> AppMet | None:
    contact = state.app.contact if state is not None else None
    return contact if isinstance(contact, AppMet) else None


def _expires_at(state: State | None) -> float:
    if state is None:
        return 0.0
    report = last_report(state)
    if report is not None and report.expires_at > 0:
        return report.expires_at
    # The app tells it only once it is licensed; the file that is being delivered may tell it earlier.
    waiting = [seat.delivery.licence.expires_at for seat in seats(state) if isinstance(seat.delivery, Undelivered)]
    return max(waiting, default=0.0)


def _intervals(state: State | None) -> dict[str, float]:
    if state is None:
        return dict.fromkeys(CHECKS, 0.0)
    policy = state.policy
    online = policy.mode is Mode.ONLINE
    return {
        "record": policy.renew if online else 0.0,
        "app": policy.app_interval if asks_app(policy) else 0.0,
        "server": policy.revalidate if online else 0.0,
    }
