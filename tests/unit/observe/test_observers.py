"""The observer passes everything on, projects a state once, and never raises."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.commands import Notice, Occasion
from sidecar.core.view import Stage
from sidecar.observe.metrics import Metrics
from sidecar.observe.narrator import Narrator
from sidecar.observe.observers import Observers
from sidecar.observe.pulses import Pulses
from sidecar.ports import Observer, Outcome, ReclaimResult, Target
from tests.unit.observe import states
from tests.unit.observe.states import NOW, WALL, Clock


class Lines:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def log(self, level: int, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


class BrokenLog:
    def log(self, level: int, event: str, **fields: Any) -> None:
        raise RuntimeError("no log")


def make(log: Any, clock: Clock) -> tuple[Observers, Metrics, Pulses]:
    """Return observers and two of those they tell."""
    metrics = Metrics("1", clock=clock, wall=Clock(WALL))
    pulses = Pulses(clock)
    return Observers(metrics, Narrator(clock, log), pulses), metrics, pulses


def count(metrics: Metrics, line: str) -> float:
    """Return the value of one line of the scrape."""
    found = [each for each in metrics.render().decode().splitlines() if each.startswith(f"mdlicense_{line} ")]
    return float(found[0].rpartition(" ")[2])


def test_it_is_an_observer() -> None:
    """The port's type holds (mypy), and every method of it reaches those who watch."""
    lines = Lines()
    observers, metrics, pulses = make(lines, Clock())
    port: Observer = observers
    port.stepped(states.active(), NOW)
    port.noticed(Notice(occasion=Occasion.ACTIVATION_ASKED))
    port.requested(Target.LEDGER, "write", Outcome.OK, 0.01)
    port.scanned({}, {})
    port.scan_failed("ledger.dir: gone")
    port.left_alone({"seat-1": "it is torn"})
    port.reclaimed(states.record(), ReclaimResult.RELEASED, "gone")
    port.turned("agent", 10.0)
    assert count(metrics, 'state_transitions_total{to="active"}') == 1
    assert count(metrics, "state_changed_timestamp_seconds") == WALL
    assert count(metrics, "activation_attempts_total") == 1
    assert count(metrics, 'requests_total{operation="write",outcome="ok",target="ledger"}') == 1
    assert count(metrics, "reclaim_scan_failures_total") == 1
    assert count(metrics, 'reclaims_total{result="released"}') == 1
    assert set(pulses.ages()) == {"agent"}
    port.ended("agent")
    assert pulses.ages() == {}
    assert [event for event, _fields in lines.lines] == [
        "state changed",
        "asking for a seat",
        "the ledger was not scanned",
        "left alone in the ledger",
        "orphan's seat released",
    ]
    assert observers.bugs == 0


def test_a_state_is_told_when_its_stage_changes_and_not_before() -> None:
    """Heartbeats change the state all the time; the story goes on only with the stage."""
    lines = Lines()
    observers, metrics, _pulses = make(lines, Clock())
    state = states.active()
    for number in range(5):
        observers.stepped(replace(state, next_op=number), NOW + number)
    observers.stepped(states.stopping(state), NOW + 6)
    assert [fields["state"] for _event, fields in lines.lines] == ["active", "stopping"]
    assert count(metrics, 'state_transitions_total{to="active"}') == 1


def test_the_pods_events_are_told_the_stage() -> None:
    """Also the one that was there before them: whether "no free seat" is a refusal depends on it."""

    class Events:
        def __init__(self) -> None:
            self.stages: list[str] = []

        def moved(self, stage: Stage) -> None:
            self.stages.append(stage.value)

    observers, _metrics, _pulses = make(Lines(), Clock())
    observers.stepped(states.waiting(), NOW)
    events = Events()
    observers.tell_pod(events)  # type: ignore[arg-type]
    observers.stepped(states.refused(), NOW)
    assert events.stages == ["waiting", "refused"]


def test_the_end_of_a_grace_is_told_although_the_state_is_the_same() -> None:
    """Time alone ends a grace: the next step, whatever it is for, tells it."""
    lines = Lines()
    observers, _metrics, _pulses = make(lines, Clock())
    state = states.refused_yet_licensed()
    observers.stepped(state, NOW)
    observers.stepped(state, NOW + 3600)
    observers.stepped(state, NOW - 20 + 86400)
    assert [fields["state"] for _event, fields in lines.lines] == ["grace", "refused"]


def test_a_bug_in_what_watches_costs_nobody_a_seat() -> None:
    """It is told as a bug with its traceback and counted; the caller notices nothing."""
    lines = Lines()
    observers, metrics, _pulses = make(lines, Clock())
    observers.noticed(Notice(occasion=Occasion.APP_FAILED, reason="no such trouble"))
    observers.noticed(Notice(occasion=Occasion.ACTIVATION_ASKED))
    assert observers.bugs == 1
    assert [event for event, _fields in lines.lines] == [
        "a bug in the observation",
        "the app failed",
        "asking for a seat",
    ]
    assert isinstance(lines.lines[0][1]["exc_info"], KeyError)
    assert count(metrics, "activation_attempts_total") == 1


def test_a_broken_log_costs_nobody_a_count() -> None:
    """Where not even the bug can be told, the metrics go on."""
    observers, metrics, _pulses = make(BrokenLog(), Clock())
    observers.stepped(states.active(), NOW)
    observers.noticed(Notice(occasion=Occasion.ACTIVATION_FAILED, reason="tls"))
    assert observers.bugs == 2
    assert count(metrics, 'activation_failures_total{reason="tls"}') == 1


@pytest.mark.parametrize(("silent", "overdue"), [(10.0, []), (10.1, ["keys"]), (60.1, ["agent", "keys"])])
def test_a_loop_is_overdue_by_its_own_limit(silent: float, overdue: list[str]) -> None:
    """Each loop names the time within which it turns again; only one that exceeds it is dead."""
    clock = Clock()
    pulses = Pulses(clock)
    pulses.turned("agent", 60.0)
    pulses.turned("keys", 10.0)
    clock.now += silent
    assert [each.loop for each in pulses.overdue()] == overdue


def test_a_loop_that_ended_on_purpose_is_not_expected_to_turn() -> None:
    """The senses end at the stop, and `/livez` is 200 to the end."""
    clock = Clock()
    pulses = Pulses(clock)
    pulses.turned("keys", 10.0)
    pulses.ended("keys")
    pulses.ended("never seen")
    clock.now += 1000
    assert pulses.overdue() == ()


def test_neither_the_web_server_nor_a_terminal_library_is_loaded_by_what_counts_and_tells() -> None:
    """The web server costs a fifth of a second: wiring loads it late, so nothing else here may."""
    program = (
        "import sys, sidecar.observe.observers; "
        "print(sorted({'aiohttp', 'httpx', 'rich', 'click', 'pygments'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "[]"
