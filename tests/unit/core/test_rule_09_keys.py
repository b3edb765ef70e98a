"""Rule 9: releases pick the key by the fingerprint of the record; a new key takes its seat before the old one goes."""

import pytest

from sidecar.core import events
from sidecar.core.commands import Activate, ActivateByApp, Deactivate, Occasion, Upload
from sidecar.core.policy import Route
from sidecar.core.reasons import Failure
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, LATE, NEW_KEY, OTHER_ID, THIRD_KEY, Scene, identity, record


def order(scene: Scene, since: float = 0.0) -> list[tuple[str, str]]:
    """Return what was asked of the server, in order, as (verb, key)."""
    asked = [it for kind in (Activate, Deactivate) for it in scene.times(kind, since)]
    asked.sort(key=lambda it: [launch for _, launch in scene.times(object)].index(it[1]))
    return [(type(it).__name__, it.identity.key_fingerprint) for _, it in asked]


def test_rule_09_a_release_uses_the_key_of_its_record() -> None:
    """Deactivation with the new key answers 404 and leaks the old seat."""
    scene = Scene().begin()
    scene.keys(NEW_KEY, KEY)
    scene.run(10)
    assert [it.identity.key_fingerprint for it in scene.asked(Deactivate)] == [KEY]
    assert scene.server.taken == {(NEW_KEY, ID)}


def test_rule_09_activate_first_then_deliver_then_release() -> None:
    """The app is never without a seat."""
    scene = Scene().begin()
    rotated_at = scene.now = scene.now + 1
    scene.hold(Upload)
    scene.keys(NEW_KEY, KEY)
    scene.run(5)
    assert scene.taken(key=KEY)
    assert scene.taken(key=NEW_KEY)
    assert scene.view.ready
    scene.unhold(Upload)
    scene.run(5)
    assert order(scene, rotated_at) == [("Activate", NEW_KEY), ("Deactivate", KEY)]
    assert set(scene.records) == {identity(key=NEW_KEY).name}


def test_rule_09_release_first_where_it_is_wished() -> None:
    """For two keys of one quota: the old seat is given back before the new one is asked for."""
    scene = Scene(activate_first=False).begin()
    rotated_at = scene.now = scene.now + 1
    scene.keys(NEW_KEY, KEY)
    scene.run(5)
    assert order(scene, rotated_at) == [("Deactivate", KEY), ("Activate", NEW_KEY)]
    assert scene.stage is Stage.ACTIVE


def test_rule_09_release_first_is_an_order_and_no_condition() -> None:
    """After 30 seconds without success the new seat is asked for all the same."""
    scene = Scene(activate_first=False).begin()
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.keys(NEW_KEY, KEY)
    scene.run(29)
    assert not scene.taken(key=NEW_KEY)
    scene.run(2)
    assert scene.taken(key=NEW_KEY)


@pytest.mark.parametrize("failure", [Failure.INVALID_KEY, Failure.NO_SEATS, Failure.EXPIRED])
def test_rule_09_a_refused_new_key_keeps_the_old_seat_and_says_so(failure: Failure) -> None:
    """The app goes on with the old seat; nothing of the new key is left behind."""
    scene = Scene().begin()
    scene.server.refuses[NEW_KEY] = failure
    scene.keys(NEW_KEY, KEY)
    scene.run(100)
    assert scene.taken(key=KEY)
    assert scene.view.ready
    assert any("new key was refused" in it for it in scene.view.faults)
    assert scene.asked(Deactivate) == []
    assert set(scene.records) == {identity().name}, "nothing was taken under the new key"
    assert not scene.restart_file


def test_rule_09_a_refused_key_that_is_taken_out_again_needs_no_release() -> None:
    """A deactivation with a key that is not one could never be answered."""
    scene = Scene().begin()
    scene.server.refuses[NEW_KEY] = Failure.INVALID_KEY
    scene.keys(NEW_KEY, KEY)
    scene.run(20)
    scene.keys(KEY, NEW_KEY)
    scene.run(20)
    assert scene.asked(Deactivate) == []
    assert scene.state.debts == ()
    assert scene.view.faults == ()
    assert scene.stage is Stage.ACTIVE


def test_rule_09_an_unanswered_new_key_keeps_the_old_seat_too() -> None:
    """An outage is no refusal: it goes on trying, and the old seat serves."""
    scene = Scene().begin()
    scene.say(Activate, events.ServerFailed, reason=Failure.TIMEOUT, message="slow")
    scene.keys(NEW_KEY, KEY)
    scene.run(300)
    assert scene.taken(key=KEY)
    assert scene.view.ready
    scene.server_up()
    scene.run(100)
    assert scene.server.taken == {(NEW_KEY, ID)}
    assert set(scene.records) == {identity(key=NEW_KEY).name}


def test_rule_09_the_old_key_comes_back_before_the_new_one_was_asked_for() -> None:
    """Nothing was asked, nothing has to be given back."""
    scene = Scene().begin()
    scene.hold(Activate)
    scene.server.refuses[NEW_KEY] = Failure.INVALID_KEY
    scene.keys(NEW_KEY, KEY)
    scene.unhold(Activate)
    scene.run(5)
    scene.keys(KEY)
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    assert set(scene.records) == {identity().name}


def test_rule_09_the_old_key_comes_back_while_the_new_one_is_being_asked_for() -> None:
    """The answer is awaited, and the seat under the new key given back: only one is kept."""
    scene = Scene().begin()
    scene.hold(Activate)
    scene.keys(NEW_KEY, KEY)
    scene.run(1)
    scene.keys(KEY, NEW_KEY)
    scene.unhold(Activate)
    scene.run(5)
    assert scene.server.taken == {(KEY, ID)}
    assert set(scene.records) == {identity().name}
    assert scene.stage is Stage.ACTIVE


def test_rule_09_a_third_key_before_the_second_was_answered() -> None:
    """Whatever was begun under the second one is a debt; the third takes its place."""
    scene = Scene().begin()
    scene.hold(Activate)
    scene.keys(NEW_KEY, KEY)
    scene.run(1)
    scene.keys(THIRD_KEY, NEW_KEY, KEY)
    scene.unhold(Activate)
    scene.run(20)
    assert scene.server.taken == {(THIRD_KEY, ID)}
    assert set(scene.records) == {identity(key=THIRD_KEY).name}


def test_rule_09_an_unusable_key_is_no_change() -> None:
    """Empty, placeholder, unreadable: the last good one is kept, and it is said."""
    scene = Scene().begin()
    scene.keys(KEY, fault="value is empty; the last good key is kept")
    scene.run(100)
    assert scene.stage is Stage.ACTIVE
    assert "value is empty; the last good key is kept" in scene.view.faults
    assert len(scene.noticed(Occasion.KEY_UNUSABLE)) == 1
    scene.keys(KEY)
    scene.keys(KEY)
    assert len(scene.noticed(Occasion.KEY_USABLE)) == 1
    scene.keys(None, fault="gone")
    scene.run(100)
    assert scene.taken()
    assert scene.asked(Deactivate) == []


def test_rule_09_without_a_key_nothing_is_asked_and_it_is_said() -> None:
    """The sidecar waits for a usable key."""
    scene = Scene().begin(key=None)
    scene.run(100)
    assert scene.asked(Activate) == []
    assert scene.stage is Stage.STARTING
    assert scene.view.waiting_for == "a usable activation key"
    scene.keys(KEY)
    scene.run(1)
    assert scene.stage is Stage.ACTIVE
    assert scene.noticed(Occasion.KEY_USABLE) == [], "that a key is taken says it"


def test_rule_09_a_seat_under_a_key_that_is_not_known_stays_and_is_reported_at_the_end() -> None:
    """It cannot be released without its key: the record is handed over, and the exit code tells."""
    scene = Scene(record(OTHER_ID, key=NEW_KEY))
    scene.server.activate(identity(OTHER_ID, NEW_KEY))
    scene.begin()
    scene.run(100)
    assert scene.asked(Deactivate) == []
    assert scene.stage is Stage.ACTIVE
    left = scene.stored(OTHER_ID, NEW_KEY)
    assert left is not None
    assert left.phase is Phase.RELEASING
    scene.stop()
    scene.run(20)
    left = scene.stored(OTHER_ID, NEW_KEY)
    assert left is not None
    assert left.phase is Phase.HANDOVER
    assert scene.exit_code == 69


def test_rule_09_a_former_key_that_is_listed_later_frees_the_seat() -> None:
    """`previous` was completed: what was left is released."""
    scene = Scene(record(OTHER_ID, key=NEW_KEY))
    scene.server.activate(identity(OTHER_ID, NEW_KEY))
    scene.begin()
    scene.run(10)
    scene.keys(KEY, NEW_KEY)
    scene.run(10)
    assert scene.server.taken == {(KEY, ID)}
    assert set(scene.records) == {identity().name}


def test_rule_09_a_crash_in_the_middle_of_a_rotation_goes_on_activate_first() -> None:
    """Both records are ours; the app lives on the old seat until the new one is there and delivered."""
    scene = Scene(record(), record(phase=Phase.ACTIVATING, key=NEW_KEY, open=True))
    scene.server.activate(identity())
    scene.app.licensed = True
    scene.hold(Activate)
    scene.begin(KEY, key=NEW_KEY)
    scene.run(5)
    assert scene.asked(Deactivate) == [], "the app serves with that seat"
    assert scene.view.ready
    scene.unhold(Activate)
    scene.run(5)
    assert order(scene) == [("Activate", NEW_KEY), ("Deactivate", KEY)]
    assert scene.asked(Upload)
    assert set(scene.records) == {identity(key=NEW_KEY).name}


def test_rule_09_a_crash_between_grant_and_delivery_delivers_first() -> None:
    """Both records are active: whether the app has the new licence is not known."""
    scene = Scene(record(), record(key=NEW_KEY))
    scene.server.activate(identity())
    scene.server.activate(identity(key=NEW_KEY))
    scene.app.licensed = True
    scene.hold(Upload)
    scene.begin(KEY, key=NEW_KEY)
    scene.run(5)
    assert scene.asked(Deactivate) == []
    scene.unhold(Upload)
    scene.run(5)
    assert scene.server.taken == {(NEW_KEY, ID)}


def test_rule_09_a_crash_in_the_middle_of_a_rotation_release_first() -> None:
    """There the old one goes at once."""
    scene = Scene(record(), record(phase=Phase.ACTIVATING, key=NEW_KEY), activate_first=False)
    scene.server.activate(identity())
    scene.begin(KEY, key=NEW_KEY)
    scene.run(LATE)
    assert scene.server.taken == {(NEW_KEY, ID)}


def test_rule_09_another_id_in_the_middle_of_a_rotation_gives_both_back() -> None:
    """The app's container was replaced meanwhile: only the new key's seat for the new ID is wanted."""
    scene = Scene(app_interval=2.0).begin()
    scene.hold(Activate)
    scene.keys(NEW_KEY, KEY)
    scene.run(1)
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    scene.run(3)
    scene.unhold(Activate)
    scene.run(60)
    assert scene.server.taken == {(NEW_KEY, OTHER_ID)}
    assert set(scene.records) == {identity(OTHER_ID, NEW_KEY).name}


def test_rule_09_a_key_change_before_the_first_grant_releases_and_begins_anew() -> None:
    """There is no seat to keep: what was asked for is a debt."""
    scene = Scene()
    scene.say(Activate, events.ServerFailed, reason=Failure.TIMEOUT, message="slow")
    scene.begin()
    scene.server_up()
    scene.keys(NEW_KEY, KEY)
    scene.run(2 * LATE)
    assert scene.server.taken == {(NEW_KEY, ID)}
    assert set(scene.records) == {identity(key=NEW_KEY).name}


def test_rule_09_route_product_rotates_through_the_app() -> None:
    """The same order where the app activates itself."""
    scene = Scene(route=Route.PRODUCT).begin()
    scene.keys(NEW_KEY, KEY)
    scene.run(10)
    assert [it.identity.key_fingerprint for it in scene.asked(ActivateByApp)] == [KEY, NEW_KEY]
    assert scene.server.taken == {(NEW_KEY, ID)}


def test_rule_09_a_successor_that_waits_for_a_release_of_the_same_name() -> None:
    """The key went there and back again: the seat under it is still on its way out."""
    scene = Scene().begin()
    scene.keys(NEW_KEY, KEY)
    scene.run(5)
    scene.say(Deactivate, events.ServerFailed, reason=Failure.TIMEOUT, message="slow")
    scene.keys(KEY, NEW_KEY)
    scene.run(5)
    scene.keys(NEW_KEY, KEY)
    scene.run(5)
    assert scene.view.ready
    scene.server_up()
    scene.run(3 * LATE)
    assert scene.server.taken == {(NEW_KEY, ID)}
    assert set(scene.records) == {identity(key=NEW_KEY).name}


def test_rule_09_a_licence_that_is_lost_while_the_new_key_is_refused_is_delivered_again() -> None:
    """The old seat is kept, so its licence is too; no more often than the refused key is tried."""
    scene = Scene(app_interval=2.0, refused_retry=100.0).begin()
    scene.server.refuses[NEW_KEY] = Failure.INVALID_KEY
    scene.keys(NEW_KEY, KEY)
    scene.run(10)
    scene.app.licensed = False
    scene.run(120)
    assert scene.app.licensed
    assert scene.view.ready
    assert scene.taken()
    assert 2 <= len(scene.asked(Activate, 1001)) <= 4


def test_rule_09_a_key_that_comes_back_after_a_restart_takes_up_its_old_record() -> None:
    """The former key's record waits for its second look when that key is the current one again."""
    scene = Scene(record(phase=Phase.RELEASING, open=True, unknown=True), record(key=NEW_KEY))
    scene.server.activate(identity(key=NEW_KEY))
    scene.app.licensed = True
    scene.begin(KEY, key=NEW_KEY)
    scene.keys(KEY, NEW_KEY)
    scene.run(10)
    assert scene.server.taken == {(KEY, ID)}
    assert scene.stage is Stage.ACTIVE
    scene.run(3 * LATE)
    assert set(scene.records) == {identity().name}
