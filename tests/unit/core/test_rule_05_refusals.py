"""Rules 5 and 7: a refusal is a final no; what follows from it depends on its words."""

from itertools import pairwise

import pytest

from sidecar.core import events
from sidecar.core.commands import Activate, Deactivate, Occasion, PollKeys, Upload
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Phase
from sidecar.core.state import Denied, Seat
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, LATE, NEW_KEY, OTHER_ID, Scene, identity, record

WAITED_OUT = (Failure.NO_SEATS, Failure.REFUSED)
FINAL = (Failure.INVALID_KEY, Failure.INVALID_DEPLOYMENT, Failure.INVALID_REQUEST, Failure.EXPIRED)


def refused(reason: Failure, **policy: object) -> Scene:
    """Return a sidecar that was refused."""
    scene = Scene(**{"restart_after": 0.0, **policy})
    scene.server.refuses[KEY] = reason
    return scene.begin()


@pytest.mark.parametrize("reason", [*WAITED_OUT, *FINAL])
def test_rule_05_a_refusal_of_the_only_request_erases_the_record(reason: Failure) -> None:
    """Every request for this ID was definitely refused: nothing is left to release."""
    scene = refused(reason)
    assert scene.records == {}
    assert scene.asked(Deactivate) == []
    assert scene.stage is Stage.REFUSED
    assert scene.view.why == f"no: {reason}"


def test_rule_05_a_refusal_after_an_unanswered_success_keeps_the_record() -> None:
    """The first request took the seat, its answer was lost, and then the server said no."""
    scene = Scene(restart_after=0.0)
    scene.hold(Activate)
    scene.begin()
    first = scene.under_way(Activate)
    scene.truth(first)
    scene.answer(first, events.ServerFailed, reason=Failure.TIMEOUT, message="slow")
    scene.unhold(Activate)
    scene.server.refuses[KEY] = Failure.REFUSED
    scene.run(5)
    assert scene.taken()
    assert scene.stored() is not None


def test_rule_05_that_doubt_is_resolved_once_nothing_can_be_late() -> None:
    """A server that counts the same pair twice would refuse us for ever because of our own seat."""
    scene = Scene(restart_after=0.0)
    scene.say(Activate, events.ServerFailed, reason=Failure.TIMEOUT, message="slow")
    scene.begin()
    scene.server.taken.add((KEY, ID))
    scene.say(Activate, events.ActivationDeclined, reason=Failure.NO_SEATS, sentence="counted twice")
    scene.run(LATE - 20)
    assert scene.asked(Deactivate) == []
    scene.run(40)
    assert scene.asked(Deactivate)
    assert not scene.taken()
    scene.say(Activate, None)
    scene.run(600)
    assert scene.stage is Stage.ACTIVE


def test_rule_05_a_no_for_a_licensed_app_is_a_warning_and_grace() -> None:
    """It may live on a seat that we do not know of: nothing is erased, it stays ready."""
    scene = Scene()
    scene.server.refuses[KEY] = Failure.EXPIRED
    scene.app.licensed = True
    scene.begin()
    scene.run(100)
    assert scene.stage is Stage.GRACE
    assert scene.view.ready
    assert "no: expired" in scene.view.why
    assert scene.stored() is not None
    assert isinstance(scene.state.seat, Seat)
    assert isinstance(scene.seat.tenure, Denied)


def test_rule_05_that_grace_ends() -> None:
    """After ``heartbeat.grace`` without a confirmed licence it is refused all the same."""
    scene = Scene(grace=1000.0, restart_after=0.0)
    scene.server.refuses[KEY] = Failure.EXPIRED
    scene.app.licensed = True
    scene.begin()
    assert scene.view.grace_ends_at == scene.now + 1000.0
    scene.run(999)
    assert scene.view.ready
    scene.run(2)
    assert scene.stage is Stage.REFUSED


def test_rule_05_a_refusal_of_a_held_seat_keeps_it() -> None:
    """Revalidation is refused while the app says that it is licensed: a warning, not the end."""
    scene = Scene(revalidate=100.0).begin()
    scene.server.refuses[KEY] = Failure.EXPIRED
    scene.run(300)
    assert scene.stage is Stage.GRACE
    assert scene.view.grace_ends_at is None, "what the app itself reports as licensed has no limit"
    assert scene.stored() is not None
    assert scene.taken()


def test_rule_05_another_answer_than_yes_and_no_is_an_outage() -> None:
    """No refusal, no restart, no erasing: it is asked again."""
    scene = Scene()
    scene.say(Activate, events.ServerFailed, reason=Failure.PROTOCOL, message="an HTML page")
    scene.begin()
    scene.run(300)
    assert scene.stage is Stage.ACTIVATING
    assert "an HTML page" in scene.view.why
    assert not scene.restart_file
    assert scene.stored() is not None


@pytest.mark.parametrize("reason", WAITED_OUT)
def test_rule_07_what_may_end_by_itself_is_asked_again_soon(reason: Failure) -> None:
    """Back-off from 15 seconds to 5 minutes, jittered."""
    scene = refused(reason)
    scene.run(3600)
    times = [at for at, _ in scene.times(Activate)]
    pauses = [after - before for before, after in pairwise(times)]
    assert 7.5 <= pauses[0] <= 15
    assert all(150 <= pause <= 300 for pause in pauses[-3:])


@pytest.mark.parametrize("reason", FINAL)
def test_rule_07_what_does_not_end_by_itself_is_asked_again_rarely(reason: Failure) -> None:
    """Every ``activation.refused_retry``."""
    scene = refused(reason, refused_retry=900.0)
    scene.run(3600)
    assert 4 <= len(scene.asked(Activate)) <= 5


def test_rule_07_at_once_when_the_key_changes() -> None:
    """And the key folder is read at once after a refusal: it may just have been replaced."""
    scene = refused(Failure.INVALID_KEY)
    assert scene.commanded(PollKeys) == [scene.now]
    scene.run(100)
    scene.keys(NEW_KEY, KEY)
    scene.run(1)
    assert scene.stage is Stage.ACTIVE


def test_rule_07_the_same_key_seen_again_changes_nothing() -> None:
    """Only another key forgets the refusal."""
    scene = refused(Failure.INVALID_KEY)
    scene.keys(KEY, NEW_KEY)
    scene.run(100)
    assert len(scene.asked(Activate)) == 1


def test_rule_07_back_off_survives_a_change_of_the_id() -> None:
    """An app that is restarted again and again must not become a burst of requests."""
    scene = refused(Failure.REFUSED, app_interval=2.0)
    for number in range(50):
        scene.app.deployment_id = f"MSCL{number:032}"
        scene.run(10)
    assert len(scene.asked(Activate)) <= 8


def test_rule_07_back_off_of_an_outage_survives_it_too() -> None:
    """BOUNDED_LOAD: 60 seconds apart in the end, whatever the app does."""
    scene = Scene(app_interval=2.0)
    scene.server_down()
    scene.luck = 0.99
    scene.begin()
    scene.run(600)
    before = len(scene.asked(Activate)) + len(scene.asked(Deactivate))
    for number in range(60):
        scene.app.deployment_id = f"MSCL{number:032}"
        scene.run(10)
    asked = len(scene.asked(Activate)) + len(scene.asked(Deactivate)) - before
    assert len(scene.asked(Activate)) < 30
    assert asked < 1000


def test_rule_07_a_server_that_names_a_time_is_believed() -> None:
    """Retry-After, up to an hour."""
    scene = Scene()
    scene.say(Activate, events.ServerFailed, reason=Failure.RATE_LIMITED, message="429", retry_after=500.0)
    scene.begin()
    scene.run(499)
    assert len(scene.asked(Activate)) == 1
    scene.run(60)
    assert len(scene.asked(Activate)) == 2


def test_rule_07_a_row_of_refusals_is_broken_by_another_reason() -> None:
    """The back-off begins anew, the time since the first refusal does not."""
    scene = refused(Failure.NO_SEATS)
    scene.run(600)
    since = scene.state.server.refusal
    assert since is not None
    assert since.count > 3
    scene.server.refuses[KEY] = Failure.EXPIRED
    scene.run(300)
    now = scene.state.server.refusal
    assert now is not None
    assert (now.reason, now.count, now.since) == (Failure.EXPIRED, 1, since.since)


def test_rule_05_a_lost_record_during_a_refused_request_leaves_nothing() -> None:
    """Somebody erased it meanwhile; the refusal finds nothing to erase."""
    scene = Scene(restart_after=0.0)
    scene.hold(Activate)
    scene.begin()
    scene.records.clear()
    scene.run(10)
    scene.server.refuses[KEY] = Failure.NO_SEATS
    scene.unhold(Activate)
    scene.run(1)
    assert scene.stage is Stage.REFUSED
    assert scene.records == {}


def test_rule_05_a_denied_seat_is_released_at_the_end() -> None:
    """It may be taken."""
    scene = Scene()
    scene.server.refuses[KEY] = Failure.EXPIRED
    scene.app.licensed = True
    scene.begin()
    scene.server.taken.add((KEY, ID))
    scene.stop()
    scene.run(20)
    assert not scene.taken()
    assert scene.exit_code == 0


def test_rule_05_a_denied_seat_whose_app_is_replaced() -> None:
    """Its old ID is released by rule 4, the new one refused for itself."""
    scene = Scene(app_interval=2.0, restart_after=0.0)
    scene.server.refuses[KEY] = Failure.REFUSED
    scene.app.licensed = True
    scene.begin()
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    scene.run(2 * LATE)
    assert identity(ID).name not in scene.records
    assert ID in {it.identity.deployment_id for it in scene.asked(Deactivate)}


def test_rule_05_a_late_refusal_does_not_take_a_granted_seat_away() -> None:
    """The second request was granted before the first was refused."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    first = scene.set_aside(Activate)
    scene.run(12)
    scene.unhold(Activate)
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    scene.feed(events.ActivationDeclined(op=first.op, reason=Failure.REFUSED, sentence="no"))
    assert scene.view.ready
    scene.run(60)
    assert scene.stage is Stage.ACTIVE


def test_rule_05_a_refusal_is_told() -> None:
    """With the server's own words."""
    scene = refused(Failure.NO_SEATS)
    told = scene.noticed(Occasion.ACTIVATION_REFUSED)
    assert [(it.reason, it.text) for it in told] == [("no_seats", "no: no_seats")]
    assert scene.noticed(Occasion.ACTIVATION_ASKED)


def test_rule_05_the_adopted_seat_of_an_unknown_fate_is_asked_for_again() -> None:
    """An earlier life wrote the record and died before the answer."""
    scene = Scene(record(phase=Phase.ACTIVATING, open=True))
    scene.server.refuses[KEY] = Failure.REFUSED
    scene.begin()
    assert scene.stored() is not None, "its request may have been granted"
    scene.server.refuses.clear()
    scene.app.trouble = AppTrouble.BROKEN
    scene.run(100)
    scene.app.trouble = None
    scene.run(100)
    assert scene.stage is Stage.ACTIVE
    assert scene.asked(Upload)
