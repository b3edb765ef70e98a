"""Rule 2: every request that can take a seat follows a write of its record; the driver checks it at each request."""

from sidecar.core import commands, events
from sidecar.core.commands import Activate, ActivateByApp, Erase, ListOwn, Occasion, Write
from sidecar.core.policy import Route
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, OTHER_ID, Scene, identity, record


def test_rule_02_no_ledger_no_request() -> None:
    """Nothing is asked until the ledger answers, however long that takes; the pause between tries stays short."""
    scene = Scene()
    scene.ledger_down()
    scene.begin()
    scene.run(600)
    assert scene.asked(Activate) == []
    assert not scene.view.ready
    assert "the ledger" in scene.view.why
    scene.ledger_up()
    scene.run(15)
    assert scene.stage is Stage.ACTIVE


def test_rule_02_who_keeps_us_from_asking_is_told() -> None:
    """A ledger that can be read and not written keeps the request back: it is named, not the activation server."""
    scene = Scene()
    scene.hold(Write)
    scene.begin()
    scene.answer(scene.under_way(Write), events.LedgerFailed, message="leases is forbidden")
    assert scene.stage is Stage.ACTIVATING
    assert scene.view.why == "waits for the ledger: leases is forbidden"
    assert scene.asked(Activate) == []


def test_rule_02_the_record_says_open_before_the_request_and_no_more_after_the_answer() -> None:
    """Open means that a request may be under way; a definite answer ends it."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.ACTIVATING, True)
    scene.unhold(Activate)
    scene.run()
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.ACTIVE, False)


def test_rule_02_only_a_definite_answer_clears_open() -> None:
    """After silence it stays open until the request can no longer be late; a refused connection changes nothing."""
    scene = Scene(revalidate=100.0).begin()
    scene.say(Activate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.run(110)
    scene.say(Activate, events.ServerFailed, reason=Failure.NETWORK, message="refused", sent=False)
    scene.run(1)
    assert scene.asked(Activate)[1:], "it was asked again, and not answered"
    for _ in range(100):
        stored = scene.stored()
        assert stored is not None
        assert stored.open
        scene.run(1)
    scene.run(30)
    scene.hold(Write)  # between two attempts
    stored = scene.stored()
    assert stored is not None
    assert not stored.open


def test_rule_02_revalidation_writes_first() -> None:
    """Also for a seat that is ours."""
    scene = Scene(revalidate=100.0).begin()
    scene.run(115)
    assert len(scene.asked(Activate)) == 2
    assert len([it for it in scene.asked(Write) if it.clears]) == 2


def test_rule_02_the_products_own_activation_follows_an_open_record() -> None:
    """A request of the app counts as open."""
    scene = Scene(route=Route.PRODUCT)
    scene.hold(ActivateByApp)
    scene.begin()
    assert scene.under_way(ActivateByApp)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.ACTIVE, True)
    scene.unhold(ActivateByApp)
    scene.run()
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.ACTIVE, False)


def test_rule_02_a_lost_compare_and_swap_stops_the_attempt() -> None:
    """Our own record changed under our hands: it is written again before anything is asked."""
    scene = Scene()
    scene.say(Activate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.begin()
    scene.say(Activate, None)
    scene.put(record(ID, Phase.ACTIVATING, open=True))
    scene.run(5)
    assert scene.stage is Stage.ACTIVE


def test_rule_02_the_late_answer_of_an_earlier_write_clears_nothing() -> None:
    """The write of the first attempt is answered after its record has come and gone: nothing may be asked on it."""
    scene = Scene()
    scene.server.refuses[KEY] = Failure.REFUSED
    scene.hold(Write)
    scene.begin()
    took_effect = scene.truth(scene.set_aside(Write))
    scene.run(11)  # overdue
    scene.unhold(Write)
    scene.run(10)  # written again, refused, erased
    assert scene.records == {}
    assert len(scene.asked(Activate)) == 1
    scene.feed(took_effect)
    scene.run(60)
    assert len(scene.asked(Activate)) > 1


def test_rule_02_a_write_whose_answer_was_lost_is_found_again() -> None:
    """It took effect, so the next one loses: ours, and the attempt goes on over it."""
    scene = Scene()
    scene.hold(Write)
    scene.begin()
    launch = scene.under_way(Write)
    scene.truth(launch)
    scene.answer(launch, events.LedgerFailed, message="cut")
    scene.unhold(Write)
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    assert len(scene.records) == 1


def test_rule_02_an_unanswered_write_for_an_id_that_changed_meanwhile_is_looked_for() -> None:
    """What it left is a debt of ours; the seat of the new ID is not touched by the search."""
    scene = Scene(app_interval=2.0)
    scene.hold(Write)
    scene.begin()
    launch = scene.under_way(Write)
    scene.app.deployment_id = OTHER_ID
    scene.run(4)
    scene.truth(launch)
    scene.unhold(Write)
    scene.answer(launch, events.LedgerFailed, message="cut")
    scene.run(10)
    assert len(scene.asked(ListOwn)) == 2
    assert scene.seat.identity.deployment_id == OTHER_ID
    assert [it.name for it in scene.state.debts] in ([], [identity(ID).name])
    scene.run(300)
    assert set(scene.records) == {identity(OTHER_ID).name}
    assert scene.stage is Stage.ACTIVE


def test_rule_02_the_search_for_a_lost_write_does_not_disturb_a_held_seat() -> None:
    """A second listing completes what is known; it never begins the adoption anew."""
    scene = Scene(app_interval=2.0, activate_first=True).begin()
    scene.hold(Write)
    scene.keys("bbbbbbbbbbbb", KEY)
    launch = scene.under_way(Write)
    scene.keys(KEY, "bbbbbbbbbbbb")
    scene.truth(launch)
    scene.unhold(Write)
    scene.answer(launch, events.LedgerFailed, message="cut")
    scene.run(10)
    assert len(scene.asked(ListOwn)) == 2
    assert scene.stage is Stage.ACTIVE
    assert scene.noticed(Occasion.ADOPTED) == []
    scene.run(300)
    assert set(scene.records) == {identity(ID).name}
    assert scene.taken()


def test_rule_02_a_late_listing_does_not_make_debts_of_adopted_records() -> None:
    """Listed twice because the first answer was slow, while the app does not tell its ID yet."""
    scene = Scene(record())
    scene.server.activate(identity())
    scene.app.deployment_id, scene.app.licensed = None, True
    scene.hold(ListOwn)
    scene.begin()
    slow = scene.set_aside(ListOwn)
    scene.run(12)
    scene.unhold(ListOwn)
    scene.run(1)
    scene.feed(scene.truth(slow))
    scene.run(5)
    scene.app.deployment_id = ID
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    assert scene.asked(commands.Deactivate) == []
    assert scene.taken()


def test_rule_02_a_record_that_is_erased_while_its_seat_is_taken_again_is_written_again() -> None:
    """The grant of a request that was thought lost arrives during the erasure."""
    scene = Scene(app_interval=2.0)
    scene.hold(Activate)
    scene.begin()
    first = scene.set_aside(Activate)
    scene.app.deployment_id = OTHER_ID
    scene.run(12)
    scene.unhold(Activate)
    scene.hold(Erase)
    scene.run(250)
    erasing = scene.under_way(Erase)
    scene.feed(scene.truth(first))
    assert scene.taken(ID)
    scene.answer(erasing)
    scene.unhold(Erase)
    scene.run()
    assert [it for it in scene.asked(Write, scene.now) if it.over is None]
    scene.run(200)
    assert not scene.taken(ID)
    assert scene.stored(ID) is None


def test_rule_02_an_app_that_does_not_answer_is_no_reason_to_forget() -> None:
    """The app is silent for a moment: the record stays, is renewed, and nothing is asked."""
    scene = Scene().begin()
    scene.app.trouble = AppTrouble.BROKEN
    scene.run(200)
    assert scene.stored() is not None
    assert len(scene.asked(Activate)) == 1
    assert scene.now - scene.records[identity().name].record.renewed_at <= 16
