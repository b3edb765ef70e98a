"""Answers that come after their deadline: folded by identity and version, so that none of them rewrites history."""

from sidecar.core import events
from sidecar.core.commands import Activate, ActivateByApp, Deactivate, Erase, ListOwn, Upload, Write
from sidecar.core.policy import Route
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Stored
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, LATE, NEW_KEY, OTHER_ID, Scene, identity, record


def test_a_late_loss_of_a_write_does_not_forget_a_newer_version() -> None:
    """What it met in the ledger has been written over since."""
    scene = Scene().begin()
    scene.hold(Write)
    scene.run(16)
    slow = scene.set_aside(Write)
    scene.run(11)
    scene.unhold(Write)
    scene.run(5)
    known = scene.seat.stored
    scene.feed(events.WriteLost(op=slow.op, current=None))
    assert scene.seat.stored == known
    assert len(scene.asked(Activate)) == 1


def test_a_late_written_does_not_bring_an_old_version_back() -> None:
    """It took effect, was met by the next write, and is history when its answer comes."""
    scene = Scene().begin()
    scene.hold(Write)
    scene.run(16)
    slow = scene.set_aside(Write)
    took_effect = scene.truth(slow)
    scene.run(11)
    scene.unhold(Write)
    scene.run(5)
    known = scene.seat.stored
    assert known is not None
    scene.feed(took_effect)
    assert scene.seat.stored == known


def replaced_with_erasure_under_way() -> Scene:
    """Return a sidecar whose old seat is free, while its record is being erased."""
    scene = Scene(app_interval=2.0).begin()
    scene.hold(Erase)
    scene.app.deployment_id = OTHER_ID
    scene.run(4)
    return scene


def test_a_late_erased_of_an_earlier_version_drops_nothing() -> None:
    """The record has come back meanwhile, under a new version."""
    scene = replaced_with_erasure_under_way()
    slow = scene.set_aside(Erase)
    scene.run(11)
    scene.put(record(ID))
    scene.answer(scene.under_way(Erase))
    assert scene.state.debts
    scene.feed(events.Erased(op=slow.op))
    assert scene.state.debts, "the newer record is still to be erased"
    scene.unhold(Erase)
    scene.run(60)
    assert scene.stored(ID) is None


def test_a_late_loss_of_an_erasure_drops_nothing_either() -> None:
    """Gone was another version."""
    scene = replaced_with_erasure_under_way()
    slow = scene.set_aside(Erase)
    scene.run(11)
    scene.put(record(ID))
    scene.unhold(Erase)
    scene.run(0.6)
    debts = scene.state.debts
    scene.feed(events.WriteLost(op=slow.op, current=None))
    assert len(scene.state.debts) == len(debts)
    scene.run(60)
    assert scene.stored(ID) is None


def test_a_write_whose_fate_is_unknown_is_found_as_a_debt() -> None:
    """The app came back with another ID while the first record was being written, and the answer was lost."""
    scene = Scene(app_interval=2.0)
    scene.hold(Write)
    scene.begin()
    slow = scene.set_aside(Write)
    scene.app.deployment_id = OTHER_ID
    scene.run(4)
    scene.hold(ListOwn)
    scene.feed(events.LedgerFailed(op=slow.op, message="cut"))
    scene.run(1)
    listing = scene.under_way(ListOwn)
    stored = Stored(record(ID, open=True), "77")
    scene.records[stored.name] = stored
    scene.unhold(Write, ListOwn)
    scene.answer(listing)
    assert [it.name for it in scene.state.debts] == [identity(ID).name]
    scene.run(3 * LATE)
    assert set(scene.records) == {identity(OTHER_ID).name}
    assert scene.stage is Stage.ACTIVE


def test_a_second_listing_brings_the_versions_of_known_debts() -> None:
    """A handover that was written without an answer."""
    scene = Scene(app_interval=2.0)
    scene.hold(Write)
    scene.begin()
    slow = scene.set_aside(Write)
    scene.app.deployment_id = OTHER_ID
    scene.run(12)  # the write is overdue, and may still come: its debt is kept
    assert scene.state.debts
    scene.feed(events.LedgerFailed(op=slow.op, message="cut"))
    stored = Stored(record(ID, open=True), "77")
    scene.records[stored.name] = stored
    scene.unhold(Write)
    scene.run(3 * LATE)
    assert set(scene.records) == {identity(OTHER_ID).name}


def test_a_licence_that_reached_the_app_for_a_key_that_is_history_is_replaced() -> None:
    """The old key came back while the new one's licence was on its way: the app gets the old one's again."""
    scene = Scene().begin()
    scene.hold(Upload)
    scene.keys(NEW_KEY, KEY)
    scene.run(1)
    delivery = scene.under_way(Upload)
    scene.keys(KEY, NEW_KEY)
    scene.unhold(Upload)
    scene.answer(delivery)
    scene.run(5)
    delivered = [it.identity.key_fingerprint for it in scene.asked(Upload)]
    assert delivered == [KEY, NEW_KEY, KEY]
    assert scene.server.taken == {(KEY, ID)}
    assert scene.stage is Stage.ACTIVE


def test_the_same_for_the_products_own_activation_releases_its_seat_again() -> None:
    """It took the seat under the key that is history, after that had been given back."""
    scene = Scene(route=Route.PRODUCT).begin()
    scene.hold(ActivateByApp)
    scene.keys(NEW_KEY, KEY)
    scene.run(1)
    delivery = scene.set_aside(ActivateByApp)
    scene.keys(KEY, NEW_KEY)
    scene.run(1)
    scene.unhold(ActivateByApp)
    scene.feed(scene.truth(delivery))
    scene.run(10)
    assert scene.server.taken == {(KEY, ID)}
    assert [it.identity.key_fingerprint for it in scene.asked(ActivateByApp)] == [KEY, NEW_KEY, KEY]


def test_a_licence_for_a_seat_that_is_not_ours_yet_is_no_matter() -> None:
    """The delivery of the old key's licence ends while the new key's first seat is still being asked for."""
    scene = Scene(activate_first=False)
    scene.hold(Upload)
    scene.begin()
    delivery = scene.under_way(Upload)
    scene.keys(NEW_KEY, KEY)
    scene.hold(Activate)
    scene.run(1)
    assert scene.under_way(Activate)
    scene.unhold(Upload)
    scene.answer(delivery)
    scene.unhold(Activate)
    scene.run(5)
    assert scene.server.taken == {(NEW_KEY, ID)}
    assert scene.stage is Stage.ACTIVE


def test_a_delivery_that_failed_after_another_one_succeeded_changes_nothing() -> None:
    """The first was slow, the second went through: there is nothing left to deliver."""
    scene = Scene()
    scene.hold(Upload)
    scene.begin()
    slow = scene.set_aside(Upload)
    scene.run(32)
    scene.unhold(Upload)
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    scene.feed(events.AppFailed(op=slow.op, trouble=AppTrouble.BROKEN, message="500"))
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    assert len(scene.asked(Upload)) + len(scene.asked(ActivateByApp)) == 2


def test_an_upload_that_was_declined_after_another_one_succeeded_changes_nothing() -> None:
    """The same with the app's definite no."""
    scene = Scene()
    scene.hold(Upload)
    scene.begin()
    slow = scene.set_aside(Upload)
    scene.run(32)
    scene.unhold(Upload)
    scene.run(5)
    scene.feed(events.UploadDeclined(op=slow.op, message="400"))
    scene.run(60)
    assert scene.stage is Stage.ACTIVE


def test_a_refusal_that_finds_no_record_begins_anew() -> None:
    """Its record was lost during a long request, and is being written again when the server says no."""
    scene = Scene(call_timeout=60.0, restart_after=0.0)
    scene.hold(Activate)
    scene.begin()
    scene.run(14)
    scene.records.clear()
    scene.hold(Write)
    scene.run(2)
    scene.answer(scene.under_way(Write))
    scene.server.refuses[KEY] = Failure.REFUSED
    scene.answer(scene.under_way(Activate))
    scene.unhold(Write, Activate)
    scene.run(5)
    assert scene.stage is Stage.REFUSED
    assert scene.records == {}


def write_the_others(scene: Scene) -> None:
    """Answer the writes of the new seat until the old one's turn comes."""
    while scene.under_way(Write).command.name != identity(ID).name:
        scene.answer(scene.under_way(Write))
        scene.run()


def test_a_listing_tells_the_version_of_a_debt_whose_write_is_unknown() -> None:
    """Its record was gone, is written again, and the answer is lost: the version is looked for."""
    scene = Scene(app_interval=2.0).begin()
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.app.deployment_id = OTHER_ID
    scene.run(5)
    del scene.records[identity(ID).name]
    scene.hold(Write)
    scene.say(Deactivate, events.Deactivated, unknown=True)
    scene.run(5)
    write_the_others(scene)
    scene.answer(scene.under_way(Write))  # lost: it is not there
    write_the_others(scene)
    again = scene.under_way(Write)
    scene.truth(again)
    scene.answer(again, events.LedgerFailed, message="cut")
    scene.unhold(Write)
    scene.run(1)
    assert len(scene.asked(ListOwn)) == 2
    assert scene.state.debts[0].stored == scene.records[identity(ID).name]
    scene.run(2 * LATE)
    assert set(scene.records) == {identity(OTHER_ID).name}


def test_a_licence_that_reached_a_container_that_is_history_is_no_matter() -> None:
    """The app has another ID by now, and another seat."""
    scene = Scene(app_interval=2.0)
    scene.hold(Upload)
    scene.begin()
    slow = scene.set_aside(Upload)
    scene.app.deployment_id = OTHER_ID
    scene.run(35)
    scene.feed(events.Delivered(op=slow.op))
    scene.unhold(Upload)
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    assert scene.server.taken == {(KEY, OTHER_ID)}
