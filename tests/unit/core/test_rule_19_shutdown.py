"""Rules 18 and 19, outside Kubernetes: what a stop gives back, in which order, and how it ends."""

import pytest

from sidecar.core.commands import Activate, Deactivate, Write
from sidecar.core.events import Activated, Knocked
from sidecar.core.facts import Licence
from sidecar.core.reasons import AppTrouble
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import Scene


def test_rule_18_a_stop_that_shall_not_release_leaves_the_record_active() -> None:
    """`shutdown.release: never`: the successor adopts it."""
    scene = Scene().begin()
    scene.stop(release=False)
    scene.run(1)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, scene.taken(), scene.exit_code) == (Phase.ACTIVE, True, 0)


def test_rule_18_a_successor_adopts_a_fresh_record_without_asking_the_server() -> None:
    """Neither asked nor released: the seat is simply kept."""
    first = Scene().begin()
    stored = first.stored()
    assert stored is not None
    second = Scene(stored)
    second.server.taken = first.server.taken
    second.app.licensed = True
    second.begin()
    second.run(60)
    assert second.stage is Stage.ACTIVE
    assert second.asked(Activate) == []
    assert second.asked(Deactivate) == []


def test_rule_19_mark_and_deactivate_go_out_at_once_and_together() -> None:
    """Releasing does not wait for the ledger."""
    scene = Scene().begin()
    scene.hold(Write, Deactivate)
    scene.stop()
    assert [type(it.command) for it in scene.flying] == [Write, Deactivate]


def test_rule_19_releasing_does_not_need_the_ledger() -> None:
    """The seat is free although nothing can be written; what the ledger still says is reported by the exit code."""
    scene = Scene().begin()
    scene.ledger_down()
    scene.stop()
    scene.run(20)
    assert not scene.taken()
    assert scene.exit_code == 69


@pytest.mark.parametrize("budget", [2.0, 20.0])
def test_rule_19_an_activation_in_flight_is_awaited_then_given_back(budget: float) -> None:
    """Late activation after SIGTERM: the answer arrives during the stop, and the seat does not stay."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    scene.stop(budget)
    scene.run(budget / 4)
    assert scene.exit_code is None
    scene.unhold(Activate)
    scene.run(budget)
    assert not scene.taken()
    assert (scene.records, scene.exit_code) == ({}, 0)


@pytest.mark.parametrize("budget", [2.0, 20.0])
def test_rule_19_an_activation_that_is_never_answered_is_handed_over(budget: float) -> None:
    """Rule 4: it may still take effect, so the record stays open and somebody looks again."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    scene.stop(budget)
    scene.run(budget)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.HANDOVER, True)
    assert scene.asked(Deactivate), "what may have been counted is given back all the same"
    assert scene.exit_code == 0, "it was answered with 404: the second look is somebody else's turn"


def test_rule_19_a_server_that_answers_nothing_is_told_by_the_exit_code() -> None:
    """Neither the activation nor the deactivation had an answer."""
    scene = Scene()
    scene.hold(Activate, Deactivate)
    scene.begin()
    scene.stop()
    scene.run(20)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open, scene.exit_code) == (Phase.HANDOVER, True, 69)


def test_rule_19_the_answer_that_comes_after_the_last_word_changes_nothing() -> None:
    """The machine has said Exit; a late success is the record's affair."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    scene.stop(2.0)
    scene.run(2.0)
    late = scene.under_way(Activate)
    code = scene.exit_code
    assert code is not None
    scene.feed(Activated(op=late.op, licence=Licence(b"")))
    assert scene.exit_code == code
    assert scene.stage is Stage.STOPPING


def test_rule_19_plain_container_mode_waits_for_the_app_to_end() -> None:
    """NO_THEFT by our own side: the seat is held for as long as the app serves, and given back when it ends."""
    scene = Scene(drain=30.0).begin()
    scene.stop(50.0)
    scene.run(10)
    assert scene.taken()
    assert scene.exit_code is None
    assert not scene.view.ready, "no new traffic from the first moment"
    scene.feed(Knocked(trouble=AppTrouble.REFUSED))
    scene.run(1)
    assert (scene.taken(), scene.exit_code) == (False, 0)


def test_rule_19_an_app_that_does_not_end_is_not_waited_for_longer_than_the_drain() -> None:
    """Then the budget begins."""
    scene = Scene(drain=30.0).begin()
    scene.stop(50.0)
    scene.run(29.9)
    assert scene.taken()
    scene.run(1)
    assert (scene.taken(), scene.exit_code) == (False, 0)


@pytest.mark.parametrize("budget", [0.5, 2.0, 20.0])
def test_rule_19_the_end_comes_within_the_budget_whatever_hangs(budget: float) -> None:
    """BOUNDED_STOP: nothing is ever answered again."""
    scene = Scene().begin()
    scene.hold(Write, Deactivate, Activate)
    scene.stop(budget)
    scene.run(budget)
    assert scene.exit_code == 69


def test_rule_19_a_second_stop_cuts_short_what_the_first_waits_for() -> None:
    """Two seconds are enough to hand over."""
    scene = Scene().begin()
    scene.hold(Deactivate)
    scene.stop(60.0)
    scene.run(5)
    assert scene.exit_code is None
    scene.stop(2.0)
    scene.run(2.0)
    assert scene.exit_code == 69
