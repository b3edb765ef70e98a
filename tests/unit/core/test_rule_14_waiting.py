"""Rule 14: "no seats" while one is about to become free means waiting, not refused."""

import pytest

from sidecar.core import events, orphans
from sidecar.core.commands import Activate, Deactivate, Follow, ScanNow, TouchRestartFile
from sidecar.core.orphans import Scope
from sidecar.core.reasons import Failure
from sidecar.core.records import Phase, Sight, Standing, Stored
from sidecar.core.view import Stage
from tests.unit.core.driver import KEY, NEW_KEY, OTHER_ID, SERVER, THEM, US, Scene, record


def full(**policy: object) -> Scene:
    """Return a sidecar that was told that all seats are in use."""
    scene = Scene(**policy)
    scene.server.seats[KEY] = 0
    return scene.begin()


def see(scene: Scene, *names: str, waiting: int = 1) -> None:
    """Tell of seats that are about to become free."""
    scene.prospects = frozenset(names)
    scene.feed(events.ProspectsSeen(names=scene.prospects, waiting=waiting))


def test_rule_14_nobody_about_to_leave_is_refused() -> None:
    """All seats are in use by others who serve: that is a refusal, and people must know."""
    scene = full()
    assert scene.stage is Stage.REFUSED
    assert not scene.view.ready


def test_rule_14_somebody_about_to_leave_is_waiting() -> None:
    """No alert and no restart of the app, for as long as it takes."""
    scene = full()
    see(scene, "a")
    scene.run(600)
    assert scene.stage is Stage.WAITING
    assert scene.commanded(TouchRestartFile) == []


def test_rule_14_until_somebody_looked_it_is_waiting() -> None:
    """The first "no seats" raises no alarm before it is known whether a seat is about to become free."""
    scene = Scene()
    scene.server.seats[KEY] = 0
    scene.hold(Activate)
    scene.begin()
    (launch,) = scene.flying
    scene.feed(scene.truth(launch))
    assert scene.stage is Stage.WAITING


def test_rule_14_between_the_end_of_another_and_our_own_turn_it_is_waiting() -> None:
    """A seat has become free and is not asked for yet: no alarm in these seconds."""
    scene = full()
    see(scene, "a")
    scene.luck = 0.9
    see(scene, waiting=10)
    assert scene.stage is Stage.WAITING
    scene.run(6)
    assert scene.stage is Stage.REFUSED, "somebody else was faster, and nobody else is about to leave"


def test_rule_14_the_ledger_is_watched_only_while_waiting() -> None:
    """Watching is for those who lack a seat."""
    scene = full()
    assert scene.state.following
    scene.server.seats[KEY] = 1
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    followed = [it.on for _, it in scene.told if isinstance(it, Follow)]
    assert followed == [True, False]


def test_rule_14_another_refusal_needs_no_watching() -> None:
    """An expired key is not cured by a seat that becomes free."""
    scene = Scene()
    scene.server.refuses[KEY] = Failure.EXPIRED
    scene.begin()
    see(scene, "a")
    assert not scene.state.following
    assert scene.stage is Stage.REFUSED


def test_rule_14_no_seats_tells_the_reclaimer() -> None:
    """An orphan's seat may be the one that is missing."""
    assert len(full().commanded(ScanNow)) == 1


def test_rule_14_a_seat_that_became_free_is_asked_for_at_once() -> None:
    """Within seconds, not after the back-off."""
    scene = full()
    see(scene, "a", "b")
    scene.run(14)
    scene.server.seats[KEY] = 1
    freed_at = scene.now
    see(scene, "b")
    scene.run(2)
    assert scene.stage is Stage.ACTIVE
    assert scene.times(Activate)[-1][0] - freed_at <= 0.5


def test_rule_14_many_that_wait_are_spread() -> None:
    """Jittered by the number waiting, five seconds at most."""
    asked = []
    for luck in (0.0, 0.5, 0.9):
        scene = full()
        see(scene, "a")
        scene.run(5)
        scene.luck = luck
        freed_at = scene.now
        see(scene, waiting=100)
        scene.run(8)
        asked.append(scene.times(Activate)[1][0] - freed_at)
    assert asked[0] < asked[1] < asked[2] <= 5.0


def test_rule_14_one_that_goes_does_not_hurry_who_was_refused_for_another_reason() -> None:
    """The back-off of an expired key stays."""
    scene = full()
    see(scene, "a")
    scene.server.refuses[KEY] = Failure.EXPIRED
    scene.run(20)
    see(scene)
    scene.run(100)
    assert len(scene.asked(Activate)) == 2


def test_rule_14_what_was_seen_while_waiting_is_forgotten_afterwards() -> None:
    """The next "no seats" is judged by what is seen then."""
    scene = full(revalidate=100.0)
    see(scene, "a")
    scene.server.seats[KEY] = 1
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    scene.app.licensed = False
    scene.app.deployment_id = OTHER_ID
    scene.server.seats[KEY] = 0
    scene.prospects = frozenset()
    scene.run(60)
    assert scene.stage is Stage.REFUSED


def test_rule_14_our_own_old_seat_on_its_way_out_is_worth_waiting_for() -> None:
    """A restarted app at a full quota whose old seat cannot be given back yet."""
    scene = Scene(app_interval=2.0)
    scene.server.seats[KEY] = 1
    scene.begin()
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    scene.run(60)
    assert scene.stage is Stage.WAITING
    scene.server_up()
    scene.run(120)
    assert scene.stage is Stage.ACTIVE


def test_rule_14_an_old_seat_under_another_key_is_not() -> None:
    """It has its own quota: the new key's seats do not become free by it."""
    scene = Scene(app_interval=2.0)
    scene.begin()
    scene.server.seats[NEW_KEY] = 0
    scene.say(Deactivate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.keys(NEW_KEY, KEY)
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    scene.run(60)
    assert scene.stage is Stage.REFUSED


@pytest.mark.parametrize(
    ("phase", "standing", "leaving", "expected"),
    [
        (Phase.RELEASING, Standing.LIVE, False, True),
        (Phase.HANDOVER, Standing.LIVE, False, True),
        (Phase.ACTIVE, Standing.GONE, False, True),
        (Phase.ACTIVE, Standing.LIVE, True, True),
        (Phase.ACTIVE, Standing.LIVE, False, False),
        (Phase.ACTIVATING, Standing.UNPROVEN, False, False),
    ],
)
def test_rule_14_whose_seat_may_go(phase: Phase, standing: Standing, leaving: bool, expected: bool) -> None:
    """Releasing, handed over, an orphan, or of a pod that is about to end."""
    scope = Scope(SERVER, frozenset({KEY}), 60.0, US.uid)
    stored = Stored(record(phase=phase, owner=THEM), "1")
    assert orphans.may_go(stored, Sight(standing, "", leaving), scope) is expected


def test_rule_14_only_seats_of_known_keys_and_others_count() -> None:
    """What cannot be released from here, and what is our own, is no prospect."""
    sight = Sight(Standing.GONE, "")
    theirs, ours = Stored(record(owner=THEM), "1"), Stored(record(), "1")
    assert not orphans.may_go(theirs, sight, Scope(SERVER, frozenset({NEW_KEY}), 60.0, US.uid))
    assert not orphans.may_go(theirs, sight, Scope("https://other.example", frozenset({KEY}), 60.0, US.uid))
    assert not orphans.may_go(ours, sight, Scope(SERVER, frozenset({KEY}), 60.0, US.uid))
