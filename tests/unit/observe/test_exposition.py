"""What a scrape gets is what prometheus_client would have written, whatever happened before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from sidecar.core.commands import Notice, Occasion
from sidecar.core.reasons import Failure
from sidecar.core.state import State
from sidecar.observe import exposition
from sidecar.observe.exposition import Exposition
from sidecar.observe.metrics import Metrics
from sidecar.ports import Outcome, Target
from tests.unit.observe import states
from tests.unit.observe.states import WALL, Clock


@pytest.mark.parametrize("kubernetes", [False, True])
@pytest.mark.parametrize("state", [states.starting, states.active, states.refused, states.refused_yet_licensed])
def test_it_is_the_library_s_own_text(state: Callable[[], State], kubernetes: bool) -> None:
    """Byte for byte, at the first scrape and at later ones with other values."""
    metrics = Metrics("1.2.3", kubernetes=kubernetes, clock=Clock(), wall=Clock(WALL))
    assert metrics.render() == generate_latest(metrics.registry)
    metrics.stepped(state())
    for seconds in (0.0004, 0.2, 3e9):
        metrics.requested(Target.APP, "report", Outcome.OK, seconds)
        metrics.noticed(Notice(occasion=Occasion.ACTIVATION_FAILED, reason=Failure.TIMEOUT))
        assert metrics.render() == generate_latest(metrics.registry)


@pytest.mark.parametrize("product", ['a "quoted" \\ name', "two\nlines", "", "Lizenz für ICAP"])
def test_what_the_app_calls_itself_breaks_no_line(product: str) -> None:
    """The one label that others write is escaped like the library does."""
    metrics = Metrics("1.2.3", clock=Clock(), wall=Clock(WALL))
    state = states.active()
    met = state.app.contact
    assert isinstance(met, states.AppMet)
    met = replace(met, report=replace(met.report, product=product))
    metrics.stepped(replace(state, app=replace(state.app, contact=met)))
    assert metrics.render() == generate_latest(metrics.registry)


def test_values_and_help_that_are_special() -> None:
    """Infinite, not a number, huge; and a help with a line break in it."""
    registry = CollectorRegistry()
    gauge = Gauge("odd", "two\nlines \\", ("label",), registry=registry)
    for label, value in {"up": float("inf"), "down": float("-inf"), "none": float("nan"), "huge": 1e300}.items():
        gauge.labels(label).set(value)
    assert Exposition(registry).render() == generate_latest(registry)


def test_labels_that_never_end_fill_no_memory() -> None:
    """Whoever changes a label at each scrape makes it forget, not grow."""
    registry = CollectorRegistry()
    shown = Exposition(registry)
    gauge = Gauge("name", "An example.", ("label",), registry=registry)
    for number in range(2 * exposition._MOST + 10):
        gauge.clear()
        gauge.labels(str(number)).set(1)
        assert f'label="{number}"'.encode() in shown.render()
        assert len(shown._beginnings) <= exposition._MOST
