"""What is not said but follows: a seat that goes between two looks, and the ID of an app that is not asked for it."""

from sidecar.core import events
from sidecar.core.commands import Activate
from sidecar.core.policy import IdSource
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, Scene


def test_rule_14_a_release_between_two_looks_is_noticed() -> None:
    """A healthy stop takes milliseconds: its record is gone before anybody saw it leave, and its seat is free."""
    scene = Scene()
    scene.server.seats[KEY] = 0
    scene.begin()
    scene.feed(events.ProspectsSeen(names=frozenset(), held=frozenset({"a", "b"})))
    assert scene.stage is Stage.REFUSED
    scene.run(5)
    scene.server.seats[KEY] = 1
    freed_at = scene.now
    scene.feed(events.ProspectsSeen(names=frozenset(), held=frozenset({"b"})))
    assert scene.stage is Stage.WAITING
    scene.run(2)
    assert scene.stage is Stage.ACTIVE
    assert scene.times(Activate)[-1][0] - freed_at <= 0.5


def test_rule_14_a_seat_that_begins_to_leave_is_not_yet_free() -> None:
    """From held to leaving nothing is gained yet: no request before it is gone."""
    scene = Scene()
    scene.server.seats[KEY] = 0
    scene.begin()
    scene.feed(events.ProspectsSeen(names=frozenset(), held=frozenset({"a"})))
    scene.feed(events.ProspectsSeen(names=frozenset({"a"})))
    scene.run(5)
    assert len(scene.asked(Activate)) == 1


def test_a_fixed_id_needs_no_answer_about_it() -> None:
    """Without an API key the app does not tell its ID; the settings know it."""
    scene = Scene(id_source=IdSource.FIXED, given_id=ID)
    scene.app.deployment_id = None
    scene.begin()
    scene.run(60)
    assert scene.server.taken == {(KEY, ID)}
    assert scene.stage is Stage.ACTIVE
