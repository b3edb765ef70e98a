"""Rules 18 and 19: the end. Mark and deactivate at once and together, inside of the budget, whatever hangs."""

import pytest

from sidecar.core import commands, events
from sidecar.core.commands import Activate, AskApp, Deactivate, Erase, ListOwn, Occasion, Write
from sidecar.core.policy import Route
from sidecar.core.reasons import AppTrouble, Cause, Failure
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, LATE, NEW_KEY, OTHER_ID, Scene, identity, record


def exit_at(scene: Scene) -> float:
    """Return when the exit was commanded."""
    (at,) = scene.commanded(commands.Exit)
    return at


def test_rule_19_everything_at_once_when_everybody_answers() -> None:
    """No pause, no second thought: free in the same moment."""
    scene = Scene().begin()
    scene.run(30)
    stopped_at = scene.now
    scene.stop()
    scene.run()
    assert scene.exit_code == 0
    assert exit_at(scene) == stopped_at
    assert scene.server.taken == set()
    assert scene.records == {}
    assert scene.asked(Deactivate)[0].cause is Cause.SHUTDOWN


def test_rule_19_mark_and_deactivate_go_together() -> None:
    """Releasing does not need the ledger, and the mark does not need the server."""
    scene = Scene().begin()
    scene.hold(Write, Deactivate)
    scene.stop()
    assert scene.under_way(Write)
    assert scene.under_way(Deactivate)


def test_rule_19_the_ledger_hangs() -> None:
    """The seat is free; the record could not be erased: 69."""
    scene = Scene().begin()
    scene.hold(Write, Erase, ListOwn)
    scene.stop(5)
    scene.run(5)
    assert not scene.taken()
    assert scene.exit_code == 69
    assert exit_at(scene) <= scene.now


def test_rule_19_the_server_does_not_answer_but_fails() -> None:
    """Tried again and again inside of the budget, then handed over: 69."""
    scene = Scene().begin()
    scene.server_down()
    scene.stop(5)
    scene.run(5)
    assert 4 <= len(scene.asked(Deactivate)) <= 30
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.HANDOVER
    assert scene.exit_code == 69
    assert scene.noticed(Occasion.HANDED_OVER)


def test_rule_19_the_server_comes_back_in_time() -> None:
    """One of the attempts succeeds: erased, exit 0."""
    scene = Scene().begin()
    scene.server_down()
    scene.stop(20)
    scene.run(5)
    scene.server_up()
    scene.run(5)
    assert scene.exit_code == 0
    assert scene.records == {}


def test_rule_19_a_404_is_handed_over_for_the_second_look() -> None:
    """Exit 0: whose turn it is then looks again."""
    scene = Scene().begin()
    scene.server.taken.clear()
    scene.stop()
    scene.run(1)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.unknown) == (Phase.HANDOVER, True)
    assert scene.exit_code == 0


def test_rule_19_a_release_that_was_answered_after_a_lost_request_is_a_success() -> None:
    """The seat is free, only the lost request may still take it (rule 4): a second look, exit 0, as with a 404."""
    scene = Scene()
    scene.say(Activate, events.ServerFailed, reason=Failure.NETWORK, message="cut", sent=True)
    scene.begin()
    scene.stop()
    scene.run(1)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.HANDOVER, True)
    assert scene.exit_code == 0
    (notice,) = scene.noticed(Occasion.HANDED_OVER)
    assert notice.text == "its release was answered; a second look is due"


@pytest.mark.parametrize("budget", [2.0, 5.0, 20.0])
@pytest.mark.parametrize("hanging", [(Deactivate,), (Write,), (Write, Deactivate, Erase, ListOwn, AskApp)])
def test_rule_19_bounded_stop(budget: float, hanging: tuple[type, ...]) -> None:
    """BOUNDED_STOP: the exit comes before the deadline, whatever hangs."""
    scene = Scene().begin()
    scene.hold(*hanging)
    stopped_at = scene.now
    scene.stop(budget)
    scene.run(budget)
    assert scene.exit_code in {0, 69}
    assert exit_at(scene) <= stopped_at + budget


def test_rule_19_two_seconds_are_enough() -> None:
    """The server hangs, the ledger answers: handed over before the end."""
    scene = Scene().begin()
    scene.hold(Deactivate)
    scene.stop(2)
    scene.run(2)
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.HANDOVER
    assert scene.exit_code == 69


def test_rule_19_no_time_at_all() -> None:
    """A deadline that has passed: exit at once."""
    scene = Scene().begin()
    scene.stop(0)
    assert scene.exit_code == 69


def test_rule_19_an_activation_in_flight_is_awaited() -> None:
    """Its answer decides what has to be given back."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    scene.stop(20)
    scene.run(3)
    assert scene.exit_code is None
    assert scene.asked(Deactivate) == []
    scene.unhold(Activate)
    scene.run(1)
    assert scene.exit_code == 0
    assert scene.server.taken == set()
    assert scene.records == {}


def test_rule_19_an_activation_in_flight_that_is_refused() -> None:
    """Nothing was taken: the record goes, exit 0."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    scene.stop(20)
    scene.server.refuses[KEY] = Failure.NO_SEATS
    scene.unhold(Activate)
    scene.run(1)
    assert scene.exit_code == 0
    assert scene.records == {}
    assert scene.asked(Deactivate) == []


def test_rule_19_an_activation_in_flight_that_hangs() -> None:
    """Awaited as long as time is left to give its seat back: then a deactivation, then the handover, open."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    launch = scene.set_aside(Activate)
    scene.truth(launch)
    scene.stop(10)
    scene.run(10)
    assert not scene.taken()
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.HANDOVER, True)
    assert scene.exit_code == 69


def test_rule_19_stop_twice_is_quicker() -> None:
    """A second signal leaves two seconds, and no drain."""
    scene = Scene(drain=60.0).begin()
    scene.hold(Deactivate)
    scene.stop(80)
    scene.run(3)
    assert scene.asked(Deactivate) == []
    scene.stop(2)
    scene.run(2)
    assert len(scene.asked(Deactivate)) == 1
    assert scene.exit_code == 69


def test_rule_19_a_second_stop_gives_no_more_time() -> None:
    """The earlier deadline holds."""
    scene = Scene().begin()
    scene.hold(Deactivate)
    stopped_at = scene.now
    scene.stop(3)
    scene.run(1)
    scene.stop(60)
    scene.run(5)
    assert exit_at(scene) <= stopped_at + 3


def test_rule_19_after_the_exit_nothing_is_commanded_any_more() -> None:
    """Late answers are folded, and that is all."""
    scene = Scene().begin()
    scene.hold(Deactivate)
    scene.stop(3)
    scene.run(3)
    assert scene.exit_code == 69
    launch = scene.under_way(Deactivate)
    told = scene.answer(launch)
    assert [it for it in told if isinstance(it, (commands.Launch, commands.Exit))] == []
    scene.stop(1)
    assert len(scene.commanded(commands.Exit)) == 1


def test_rule_19_pauses_of_an_outage_do_not_reach_into_the_shutdown() -> None:
    """An old seat whose release is tried once a minute, a ledger that is tried every 15 seconds: now at once."""
    scene = Scene(app_interval=2.0).begin()
    scene.luck = 0.99
    scene.server_down()
    scene.app.deployment_id = OTHER_ID
    scene.run(250)
    scene.ledger_down()
    while not (scene.state.ledger.not_before > scene.now + 5 and scene.state.debts[0].not_before > scene.now + 5):
        scene.run(1)
    scene.server_up()
    scene.ledger_up()
    scene.stop(2)
    scene.run(2)
    assert scene.server.taken == set()
    assert scene.exit_code == 0


def test_rule_18_a_stop_without_release_leaves_the_record_active() -> None:
    """The successor adopts it without asking: a failed probe restarts the sidecar alone."""
    scene = Scene().begin()
    scene.run(30)
    stopped_at = scene.now
    scene.stop(release=False)
    scene.run(1)
    assert scene.exit_code == 0
    assert exit_at(scene) == stopped_at
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.ACTIVE
    assert scene.taken()


def test_rule_18_a_stop_without_release_during_a_request() -> None:
    """The record is open: the successor asks again."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    scene.stop(release=False)
    stored = scene.stored()
    assert scene.exit_code == 0
    assert stored is not None
    assert stored.open


def test_rule_19_the_drain_waits_for_the_app_to_end() -> None:
    """Plain-container mode: the app may serve until then; its end is noticed within half a second or so."""
    scene = Scene(drain=60.0).begin()
    scene.run(7)
    scene.stop(80)
    scene.run(25.2)
    assert scene.taken()
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(1)
    assert not scene.taken()
    assert scene.exit_code == 0


def test_rule_19_the_record_is_kept_up_during_a_long_drain() -> None:
    """The app still serves: nobody may take its seat for an orphan's."""
    scene = Scene(drain=300.0).begin()
    scene.stop(320)
    scene.run(200)
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.ACTIVE
    assert scene.now - stored.renewed_at <= 16


def test_rule_19_the_drain_ends_by_itself() -> None:
    """The app does not end: at the end of the drain its seat is given back."""
    scene = Scene(drain=30.0).begin()
    scene.stop(50)
    scene.run(29)
    assert scene.taken()
    scene.run(2)
    assert not scene.taken()
    assert scene.exit_code == 0


def test_rule_19_a_drain_longer_than_the_budget_leaves_time_to_release() -> None:
    """What cannot be waited for is not waited for."""
    scene = Scene(drain=60.0).begin()
    scene.stop(20)
    scene.run(20)
    assert scene.exit_code == 0
    assert not scene.taken()


def test_rule_19_a_silent_app_does_not_end_the_drain() -> None:
    """Only a refused port tells that it has ended."""
    scene = Scene(drain=30.0).begin()
    scene.stop(50)
    scene.app.trouble = AppTrouble.SILENT
    scene.run(20)
    assert scene.taken()


def test_rule_19_a_stop_before_the_ledger_was_read() -> None:
    """What an earlier life left is looked for first, and released if there is time."""
    scene = Scene(record())
    scene.server.activate(identity())
    scene.hold(ListOwn)
    scene.begin()
    scene.stop(10)
    assert scene.exit_code is None
    scene.unhold(ListOwn)
    scene.run(1)
    assert scene.exit_code == 0
    assert not scene.taken()


def test_rule_19_a_stop_while_the_ledger_is_down_says_so() -> None:
    """Whether something was left could not be seen: 69, and soon."""
    scene = Scene()
    scene.ledger_down()
    scene.begin()
    scene.run(30)
    stopped_at = scene.now
    scene.stop(20)
    scene.run(20)
    assert scene.exit_code == 69
    assert exit_at(scene) <= stopped_at + 20


def test_rule_19_a_stop_before_the_first_key() -> None:
    """Without its key an adopted seat cannot be released here: handed over."""
    scene = Scene(record())
    scene.server.activate(identity())
    scene.feed(events.Tick())
    scene.run(1)
    scene.stop(10)
    scene.run(10)
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.HANDOVER
    assert scene.exit_code == 69


def test_rule_19_a_stop_in_the_middle_of_a_rotation_gives_both_back() -> None:
    """The keys of both are in memory."""
    scene = Scene().begin()
    scene.hold(commands.Upload)
    scene.keys(NEW_KEY, KEY)
    scene.run(1)
    assert len(scene.server.taken) == 2
    scene.stop()
    scene.run(5)
    assert scene.server.taken == set()
    assert scene.records == {}
    assert scene.exit_code == 0


def test_rule_19_a_stop_with_nothing_to_give_back() -> None:
    """Refused, or nothing asked yet: exit at once."""
    scene = Scene()
    scene.server.refuses[KEY] = Failure.INVALID_KEY
    scene.begin()
    scene.stop()
    scene.run()
    assert scene.exit_code == 0


def test_rule_19_a_record_with_a_first_404_is_handed_on() -> None:
    """Its second look comes after our end: nothing to wait for."""
    scene = Scene(record(OTHER_ID, Phase.HANDOVER, unknown=True))
    scene.begin()
    stopped_at = scene.now
    scene.stop(20)
    scene.run(20)
    stored = scene.stored(OTHER_ID)
    assert stored is not None
    assert (stored.phase, stored.unknown) == (Phase.HANDOVER, True)
    assert exit_at(scene) < stopped_at + 5
    assert scene.exit_code == 0


def test_rule_19_what_a_write_of_unknown_fate_left_is_looked_for_at_the_end_too() -> None:
    """The handover of a record that was missing: written, and not answered."""
    scene = Scene(app_interval=2.0).begin()
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.app.deployment_id = OTHER_ID
    scene.run(5)
    del scene.records[identity(ID).name]
    scene.say(Deactivate, events.Deactivated, unknown=True)
    scene.hold(Write)
    scene.stop(10)
    scene.run(0.1)
    launch = scene.under_way(Write)
    scene.truth(launch)
    scene.unhold(Write)
    scene.answer(launch, events.LedgerFailed, message="cut")
    scene.run(10)
    assert scene.exit_code is not None
    assert scene.stored(ID) is not None


def test_rule_19_readiness_ends_with_the_first_moment() -> None:
    """``/readyz`` is 503 from the signal on."""
    scene = Scene(drain=60.0).begin()
    assert scene.view.ready
    scene.stop(80)
    assert not scene.view.ready
    assert scene.stage is Stage.STOPPING
    scene.app.trouble = AppTrouble.REFUSED
    scene.hold(Deactivate)
    scene.run(2)
    assert "1 seat" in scene.view.why


def test_rule_19_nothing_new_is_begun() -> None:
    """No activation, no delivery, no adoption of another ID."""
    scene = Scene(drain=60.0, app_interval=2.0)
    scene.server.refuses[KEY] = Failure.NO_SEATS
    scene.begin()
    scene.server.refuses.clear()
    scene.stop(80)
    scene.app.deployment_id = OTHER_ID
    scene.run(60)
    assert len(scene.asked(Activate)) == 1


def test_rule_19_route_app_a_stop_before_the_app_was_licensed() -> None:
    """It may be activating itself just now: released, and handed over open for a second time."""
    scene = Scene(route=Route.APP, app_interval=2.0).begin()
    scene.server.activate(identity())
    scene.stop()
    scene.run(20)
    assert not scene.taken()
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.HANDOVER, True)
    assert scene.now < 1000 + LATE
