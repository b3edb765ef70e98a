"""Rule 7: when a refused sidecar asks again."""

from itertools import pairwise

import pytest

from sidecar.core.commands import Activate, PollKeys
from sidecar.core.reasons import Failure
from sidecar.core.view import Stage
from tests.unit.core.driver import KEY, NEW_KEY, OTHER_ID, Scene


def refused(reason: Failure, **policy: object) -> Scene:
    """Return a sidecar that was refused."""
    scene = Scene(**policy)
    scene.server.refuses[KEY] = reason
    return scene.begin()


def pauses(scene: Scene) -> list[float]:
    """Return the pauses between two activations."""
    times = [at for at, _ in scene.times(Activate)]
    return [later - earlier for earlier, later in pairwise(times)]


@pytest.mark.parametrize("reason", [Failure.NO_SEATS, Failure.REFUSED])
def test_rule_07_what_may_end_by_itself_is_asked_again_soon_then_ever_later(reason: Failure) -> None:
    """15 s to 5 min, jittered."""
    scene = refused(reason)
    scene.run(3600)
    seen = pauses(scene)
    assert 7.0 <= seen[0] <= 15.5
    assert seen == sorted(seen)
    assert 150.0 <= seen[-1] <= 301.0


@pytest.mark.parametrize("reason", [Failure.INVALID_KEY, Failure.EXPIRED, Failure.INVALID_DEPLOYMENT])
def test_rule_07_what_needs_a_person_is_asked_again_rarely(reason: Failure) -> None:
    """Every `activation.refused_retry`."""
    scene = refused(reason, refused_retry=900.0)
    scene.run(4000)
    assert all(0.9 * 900 <= pause <= 1.1 * 900 + 1 for pause in pauses(scene))
    assert len(pauses(scene)) >= 3


def test_rule_07_another_key_is_tried_at_once() -> None:
    """And the key folder is read at once after a refusal, for it may have just been replaced."""
    scene = refused(Failure.EXPIRED)
    assert len(scene.commanded(PollKeys)) == 1
    scene.run(30)
    scene.keys(NEW_KEY, KEY)
    scene.run(1)
    assert scene.stage is Stage.ACTIVE


def test_rule_07_the_back_off_survives_a_change_of_the_deployment_id() -> None:
    """An app that is restarted because of the refusal has a new ID each time: it must not ask each time."""
    scene = refused(Failure.NO_SEATS, app_interval=2.0)
    scene.run(120)
    before = len(scene.asked(Activate))
    scene.app.deployment_id = OTHER_ID
    scene.run(20)
    assert len(scene.asked(Activate)) <= before + 1
    assert max(pauses(scene)) > 20


def test_rule_07_a_refusal_for_a_licensed_app_is_a_warning_and_grace() -> None:
    """The app serves with a licence: it is not taken out of service, and its record stays."""
    scene = Scene()
    scene.server.refuses[KEY] = Failure.REFUSED
    scene.app.licensed = True
    scene.begin()
    scene.run(30)
    assert scene.stage is Stage.GRACE
    assert scene.view.ready
    assert scene.stored() is not None
