"""Rule 8: at a new deployment ID the old seat is released first; it is an order, not a condition."""

from sidecar.core.commands import Activate, Deactivate
from sidecar.core.events import ServerFailed
from sidecar.core.reasons import Failure
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, OTHER_ID, Scene


def restarted(**policy: object) -> Scene:
    """Return a sidecar whose app comes back under another ID at a full quota."""
    scene = Scene(app_interval=2.0, **policy)
    scene.server.seats[KEY] = 1
    scene.begin()
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    return scene


def test_rule_08_the_old_seat_goes_before_the_new_one_is_asked_for() -> None:
    """The other order deadlocks at a full quota."""
    scene = restarted()
    scene.run(5)
    (released,) = [at for at, _ in scene.times(Deactivate)]
    asked = [at for at, it in scene.times(Activate) if it.identity.deployment_id == OTHER_ID]
    assert released <= asked[0]
    assert scene.stage is Stage.ACTIVE
    assert (scene.taken(ID), scene.taken(OTHER_ID)) == (False, True)


def test_rule_08_after_thirty_seconds_without_success_it_goes_on() -> None:
    """The old seat stays `releasing` in the background; with a spare seat the app is licensed meanwhile."""
    scene = restarted()
    scene.server.seats[KEY] = 2
    scene.say(Deactivate, ServerFailed, reason=Failure.NETWORK, message="cut")
    changed = scene.now
    scene.run(29)
    assert not scene.taken(OTHER_ID)
    scene.run(15)
    (asked,) = [at for at, it in scene.times(Activate) if it.identity.deployment_id == OTHER_ID]
    assert 29.0 <= asked - changed <= 36.0
    assert scene.stage is Stage.ACTIVE
    stored = scene.stored(ID)
    assert stored is not None
    assert stored.phase is Phase.RELEASING
    scene.server_up()
    scene.run(120)
    assert not scene.taken(ID)
    assert scene.stored(ID) is None


def test_rule_08_a_404_for_the_old_seat_does_not_hold_back_the_new_one() -> None:
    """The answer is enough to go on; the second look comes later."""
    scene = restarted()
    scene.server.taken.clear()
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    assert scene.stored(ID) is not None
