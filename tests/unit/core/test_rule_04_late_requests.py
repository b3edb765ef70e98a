"""Rule 4: a request that was sent and not answered may take effect up to ``late`` seconds later."""

from typing import Any

from sidecar.core import events
from sidecar.core.commands import Activate, Deactivate, Erase, Launch, Occasion, Write
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, LATE, OTHER_ID, Scene, identity

RESET = {"reason": Failure.NETWORK, "message": "cut"}


def test_rule_04_an_unanswered_activation_is_repeated_with_the_same_id() -> None:
    """Asking again with the same ID is free; another ID would be another seat."""
    scene = Scene()
    scene.say(Activate, events.ServerFailed, **RESET)
    scene.begin()
    scene.run(60)
    asked = scene.asked(Activate)
    assert len(asked) > 3
    assert {it.identity.deployment_id for it in asked} == {ID}
    scene.server_up()
    scene.run(60)
    assert scene.stage is Stage.ACTIVE


def test_rule_04_each_repetition_follows_a_write_of_its_own() -> None:
    """Rule 2: whoever erased the record between two attempts must stop the second one."""
    scene = Scene()
    scene.say(Activate, events.ServerFailed, **RESET)
    scene.begin()
    scene.run(120)
    clearing = [it for it in scene.asked(Write) if it.clears]
    assert len(clearing) == len(scene.asked(Activate))


def test_rule_04_a_late_activation_after_sigterm_is_released_again() -> None:
    """The request is under way at the stop, is granted after our deactivation, and must not outlive the pod."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    scene.stop(20)
    scene.run(10)
    scene.answer(scene.under_way(Activate))
    assert scene.taken()
    scene.run(10)
    assert not scene.taken()
    assert scene.records == {}
    assert scene.exit_code == 0


def test_rule_04_what_is_still_under_way_at_the_end_is_handed_over_open() -> None:
    """Nobody can wait 120 seconds for a request that may be late: the next one must release again after that."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    scene.stop(20)
    scene.run(20)
    left = scene.stored()
    assert left is not None
    assert left.phase is Phase.HANDOVER
    assert left.open
    assert scene.exit_code == 0, "the answer was 404: rule 19"


def changed_at(scene: Scene) -> float:
    """Return the first moment after the sidecar saw another ID."""
    return scene.noticed_at(Occasion.ID_CHANGED) + 0.001


def test_rule_04_another_id_while_the_outcome_of_the_old_one_is_unknown() -> None:
    """Stop asking for the old one; release it, and once more after ``late``; only then its record goes."""
    scene = Scene(app_interval=2.0)
    scene.say(Activate, events.ServerFailed, **RESET)
    scene.begin()
    scene.app.deployment_id = OTHER_ID
    scene.run(5)
    scene.server_up()
    scene.run(60)
    assert scene.taken(OTHER_ID)
    assert {it.identity.deployment_id for it in scene.asked(Activate, changed_at(scene))} == {OTHER_ID}
    scene.server.taken.add((KEY, ID))  # the lost request takes effect after all
    assert scene.stored(ID) is not None
    scene.run(LATE)
    assert not scene.taken(ID)
    assert scene.stored(ID) is None
    assert scene.taken(OTHER_ID)


def test_rule_04_no_confirmation_erases_before_late_has_passed() -> None:
    """A deactivation that was answered before the lost request can take effect says nothing about it."""
    scene = Scene(app_interval=2.0)
    scene.say(Activate, events.ServerFailed, **RESET)
    scene.begin()
    scene.app.deployment_id = OTHER_ID
    scene.server_up()
    scene.server.taken.add((KEY, ID))
    scene.run(100)
    assert not scene.taken(ID), "released at once all the same"
    assert scene.stored(ID) is not None
    assert not [it for it in scene.asked(Erase) if it.stored.record.identity.deployment_id == ID]


def _old_one_under_way(**policy: Any) -> tuple[Scene, Launch]:
    """Ask for a seat and let the app come back with another ID before the answer."""
    scene = Scene(app_interval=2.0, **policy)
    scene.hold(Activate)
    scene.begin()
    scene.app.deployment_id = OTHER_ID
    scene.run(5)
    assert scene.seat.identity.deployment_id == OTHER_ID
    return scene, scene.under_way(Activate)


def test_rule_04_a_refusal_of_the_old_id_settles_it() -> None:
    """The only request there was is refused: nothing was taken, the record goes without a word to the server."""
    scene, launch = _old_one_under_way()
    scene.unhold(Activate)
    scene.answer(launch, events.ActivationDeclined, reason=Failure.NO_SEATS, sentence="no")
    scene.run(60)
    assert scene.stored(ID) is None
    assert ID not in {it.identity.deployment_id for it in scene.asked(Deactivate)}
    assert scene.stage is Stage.ACTIVE


def test_rule_04_a_request_that_was_never_sent_settles_it_too() -> None:
    """No connection, no request."""
    scene, launch = _old_one_under_way()
    scene.unhold(Activate)
    scene.answer(launch, events.ServerFailed, sent=False, **RESET)
    scene.run(60)
    assert scene.stored(ID) is None
    assert scene.stage is Stage.ACTIVE


def test_rule_04_a_late_grant_for_the_old_id_is_released() -> None:
    """The old seat is granted after the app has another ID: it is given back, and the new one is taken."""
    scene, launch = _old_one_under_way()
    scene.unhold(Activate)
    scene.answer(launch)
    assert scene.taken(ID)
    scene.run(60)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert scene.stored(ID) is None


def test_rule_04_the_answer_of_one_request_does_not_settle_an_earlier_one() -> None:
    """The first request was lost on the way, the second is granted and released: the first may still be late."""
    scene = Scene(app_interval=2.0)
    scene.say(Activate, events.ServerFailed, **RESET)
    scene.begin()
    scene.server_up()
    scene.hold(Activate)
    scene.app.deployment_id = OTHER_ID
    scene.run(1)  # the second request is on its way before the change of the ID is seen
    second = scene.under_way(Activate)
    assert second.command == Activate(identity(ID))
    scene.run(2)
    scene.unhold(Activate)
    scene.answer(second)
    scene.run(60)
    assert not scene.taken(ID)
    assert scene.stored(ID) is not None, "the first request may still take effect"
    scene.server.taken.add((KEY, ID))
    scene.run(LATE)
    assert not scene.taken(ID)
    assert scene.stored(ID) is None


def test_rule_04_a_deactivation_sent_before_a_grant_does_not_confirm() -> None:
    """The grant arrives while a deactivation is under way: which came first is not known, so release once more."""
    scene, launch = _old_one_under_way()
    scene.run(10)  # beyond the deadline of the request: it counts as unanswered, and the release begins
    assert not scene.taken(ID)
    scene.hold(Deactivate)
    scene.run(LATE)  # the second look
    deactivation = scene.under_way(Deactivate)
    scene.answer(launch)
    scene.server.taken.add((KEY, ID))
    scene.answer(deactivation, events.Deactivated)
    assert scene.stored(ID) is not None
    scene.unhold(Deactivate, Activate)
    scene.run(30)
    assert not scene.taken(ID)
    assert scene.stored(ID) is None


def test_rule_04_a_late_answer_to_an_old_deactivation_does_not_confirm_a_new_release() -> None:
    """Released without an answer, taken again, on its way out again: then the first answer comes at last."""
    scene = Scene(app_interval=2.0)
    scene.begin()
    scene.hold(Deactivate)
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(30)  # failed: given back, without an answer
    first = scene.under_way(Deactivate)
    scene.app.trouble = None
    scene.run(20)  # between two attempts the same ID is taken up again
    assert scene.stage is Stage.ACTIVE
    scene.app.deployment_id = OTHER_ID
    scene.run(3)
    scene.answer(first, events.Deactivated)
    scene.run(1)
    assert scene.stored(ID) is not None
    scene.unhold(Deactivate)
    scene.run(200)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert set(scene.records) == {identity(OTHER_ID).name}
