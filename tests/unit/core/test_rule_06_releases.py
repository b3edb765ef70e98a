"""Rules 6 and 8: when a seat counts as free, and in what order the old and the new one go and come."""

import pytest

from sidecar.core import events
from sidecar.core.commands import Activate, Deactivate, Erase, Occasion, Write
from sidecar.core.reasons import Failure
from sidecar.core.records import Identity, Phase, SeatRecord
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, LATE, OTHER_ID, THIRD_ID, US, Scene, identity, record


def replaced(**policy: object) -> Scene:
    """Return a sidecar whose app has just come back with another ID."""
    scene = Scene(**{"app_interval": 2.0, **policy})
    scene.server.seats[KEY] = 1
    scene.begin()
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    return scene


def test_rule_06_200_frees_the_seat() -> None:
    """Confirmed: the record goes."""
    scene = replaced()
    scene.run(5)
    assert len(scene.asked(Deactivate)) == 1
    assert scene.stored(ID) is None


def test_rule_06_404_counts_when_it_is_seen_twice_far_enough_apart() -> None:
    """An ingress without a backend says 404 too: the record stays until the second look."""
    scene = replaced()
    scene.say(Deactivate, events.Deactivated, unknown=True)
    scene.run(5)
    first_at = scene.times(Deactivate)[0][0]
    stored = scene.stored(ID)
    assert stored is not None
    assert stored.unknown
    scene.run(LATE)
    assert len(scene.asked(Deactivate)) == 2
    assert scene.times(Deactivate)[1][0] - first_at >= LATE
    assert scene.stored(ID) is None
    assert len(scene.noticed(Occasion.RELEASE_UNKNOWN)) == 2


def test_rule_06_404_from_a_proxy_and_then_200() -> None:
    """The second look found the seat, and freed it."""
    scene = replaced()
    scene.say(Deactivate, events.Deactivated, unknown=True)
    scene.run(5)
    scene.say(Deactivate, None)
    assert scene.taken(ID)
    scene.run(LATE)
    assert not scene.taken(ID)
    assert scene.stored(ID) is None


def test_rule_06_an_outage_between_two_404_changes_nothing() -> None:
    """Silence confirms nothing."""
    scene = replaced()
    scene.say(Deactivate, events.Deactivated, unknown=True)
    scene.run(5)
    scene.say(Deactivate, events.ServerFailed, reason=Failure.HTTP_5XX, message="502")
    scene.run(2 * LATE)
    assert scene.stored(ID) is not None
    scene.say(Deactivate, events.Deactivated, unknown=True)
    scene.run(60)
    assert scene.stored(ID) is None


def test_rule_06_a_record_that_was_seen_unknown_before_needs_one_more_look() -> None:
    """The first 404 was seen by an earlier life; whose turn it is then looks once more, ``late`` later."""
    scene = Scene(record(OTHER_ID, Phase.HANDOVER, unknown=True))
    scene.begin()
    scene.run(LATE - 1)
    assert [it for it in scene.asked(Deactivate) if it.identity.deployment_id == OTHER_ID] == []
    scene.run(2)
    assert scene.stored(OTHER_ID) is None


@pytest.mark.parametrize(
    "foreign",
    [Identity("https://evil.example", KEY, OTHER_ID), identity(OTHER_ID, "dddddddddddd")],
    ids=["server", "key"],
)
def test_rule_06_only_records_of_our_own_configuration_are_acted_on(foreign: Identity) -> None:
    """A forged record must not get our key sent elsewhere."""
    scene = Scene(SeatRecord(foreign, US, Phase.ACTIVE, open=False, renewed_at=1000.0))
    scene.begin()
    scene.run(300)
    scene.stop()
    scene.run(20)
    assert {it.identity for it in scene.asked(Deactivate)} == {identity(ID)}
    assert foreign.name in scene.records
    assert scene.exit_code == 69


def test_rule_08_release_the_old_then_activate_the_new() -> None:
    """The other order deadlocks at a full quota."""
    scene = replaced()
    scene.run(5)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert scene.stage is Stage.ACTIVE
    assert not scene.noticed(Occasion.ACTIVATION_REFUSED)


def test_rule_08_after_half_a_minute_without_success_it_goes_on() -> None:
    """It is an order, not a condition: the old one is released in the background."""
    scene = replaced()
    scene.server.seats[KEY] = 2
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.run(2.5)
    seen_at = scene.noticed_at(Occasion.ID_CHANGED)
    scene.run(40)
    activated_at = scene.times(Activate)[-1][0]
    assert 30 <= activated_at - seen_at <= 31
    assert scene.stage is Stage.ACTIVE
    stored = scene.stored(ID)
    assert stored is not None
    assert stored.phase is Phase.RELEASING
    scene.server_up()
    scene.run(120)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert scene.stored(ID) is None


def test_rule_08_a_404_does_not_hold_the_new_one_back() -> None:
    """It was answered: the seat is free as far as anybody knows."""
    scene = replaced()
    scene.server.taken.clear()
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    assert scene.stored(ID) is not None


def test_rule_08_a_second_change_while_the_first_is_unfinished() -> None:
    """Two old ones are on their way out; the newest is asked for."""
    scene = replaced()
    scene.server.seats[KEY] = 3
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.run(45)
    scene.app.deployment_id, scene.app.licensed = THIRD_ID, False
    scene.run(45)
    assert scene.stage is Stage.ACTIVE
    scene.server_up()
    scene.run(200)
    assert scene.server.taken == {(KEY, THIRD_ID)}
    assert set(scene.records) == {identity(THIRD_ID).name}


def test_rule_04_the_same_id_back_after_an_answered_deactivation() -> None:
    """The 404 waits for its second look when the app is back with that ID: it is activated, and kept."""
    scene = replaced()
    scene.server.taken.clear()
    scene.run(5)
    scene.app.deployment_id, scene.app.licensed = ID, False
    scene.run(10)
    assert scene.stage is Stage.ACTIVE
    assert scene.taken(ID)
    scene.run(3 * LATE)
    assert scene.taken(ID)
    assert set(scene.records) == {identity(ID).name}


def test_rule_04_the_same_id_back_after_an_unanswered_deactivation() -> None:
    """Activated, and once more after ``late``: the lost deactivation may take the seat away in between."""
    scene = replaced()
    scene.server.seats[KEY] = 2
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.run(5)
    scene.app.deployment_id, scene.app.licensed = ID, False
    scene.server_up()
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    assert scene.taken(ID)
    scene.server.taken.discard((KEY, ID))  # the lost one is late
    scene.run(LATE)
    assert scene.taken(ID)


def test_rule_04_an_unanswered_deactivation_that_a_later_one_overtook() -> None:
    """Confirmed and erased, and still the first one may be late when the same ID is taken again."""
    scene = replaced()
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.run(3)
    scene.say(Deactivate, None)
    scene.run(10)
    assert scene.stored(ID) is None
    scene.app.deployment_id, scene.app.licensed = ID, False
    scene.run(10)
    assert scene.taken(ID)
    scene.server.taken.discard((KEY, ID))
    scene.run(LATE)
    assert scene.taken(ID)
    assert scene.stage is Stage.ACTIVE


def test_rule_08_a_request_to_release_is_not_sent_while_the_record_cannot_be_marked() -> None:
    """One that cannot reach the ledger keeps what it has and takes nothing new."""
    scene = replaced()
    scene.ledger_down()
    scene.run(100)
    assert scene.asked(Deactivate) == []
    assert scene.taken(ID)
    scene.ledger_up()
    scene.run(20)
    assert scene.server.taken == {(KEY, OTHER_ID)}


def test_rule_08_a_lost_mark_is_written_again() -> None:
    """Somebody else touched our record meanwhile: a claim of a reclaimer that took us for dead."""
    scene = replaced()
    scene.hold(Write)
    scene.run(3)
    scene.put(record(ID, Phase.ACTIVE))
    scene.unhold(Write)
    scene.run(5)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert scene.stored(ID) is None


def test_rule_08_an_erased_record_of_a_debt_comes_back_until_the_seat_is_free() -> None:
    """Somebody erased it while its deactivation failed: the seat may be taken, so it is written again."""
    scene = replaced()
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.run(5)
    del scene.records[identity(ID).name]
    scene.say(Deactivate, events.Deactivated, unknown=True)
    scene.run(60)
    assert scene.stored(ID) is not None
    scene.say(Deactivate, None)
    scene.run(LATE)
    assert scene.stored(ID) is None


def test_rule_06_an_erasure_that_was_lost_is_no_trouble() -> None:
    """It happened; the answer did not come."""
    scene = replaced()
    scene.hold(Erase)
    scene.run(3)
    launch = scene.under_way(Erase)
    scene.truth(launch)
    scene.unhold(Erase)
    scene.answer(launch, events.LedgerFailed, message="cut")
    scene.run(5)
    assert scene.state.debts == ()
    assert scene.stored(ID) is None


def test_rule_06_without_lateness_the_second_look_comes_at_once_and_is_the_last() -> None:
    """``activation.late: 0``: two looks at a 404, not a third, and no circle."""
    scene = replaced(late=0.0)
    scene.say(Deactivate, events.Deactivated, unknown=True)
    scene.run(60)
    assert len(scene.asked(Deactivate)) == 2
    assert scene.stored(ID) is None


@pytest.mark.parametrize("sent", [True, False])
def test_rule_04_without_lateness_an_outage_is_still_paused(sent: bool) -> None:
    """``activation.late: 0``: what got no answer is asked again after the back-off's pauses. Its 404s are two."""
    scene = Scene(late=0.0, app_interval=2.0)
    scene.say(Activate, events.ServerFailed, reason=Failure.TIMEOUT, message="slow", sent=sent)
    scene.begin()
    scene.run(120)
    assert len(scene.asked(Activate)) < 40
    scene.app.deployment_id = OTHER_ID
    scene.say(Activate, None)
    scene.run(120)
    assert len(scene.asked(Deactivate)) == (2 if sent else 0)
    assert set(scene.records) == {identity(OTHER_ID).name}
