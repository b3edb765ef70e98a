"""The file restart-app (design.md section 5): the app restarts until the secret is right; never a licensed one."""

from itertools import pairwise

from sidecar.core.commands import Occasion, RemoveRestartFile, TouchRestartFile
from sidecar.core.events import ProspectsSeen
from sidecar.core.policy import RESTART_CAP
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, NEW_KEY, OTHER_ID, THIRD_ID, Scene

APP_START = 30.0


def refused(reason: Failure = Failure.INVALID_KEY, **policy: object) -> Scene:
    """Return a sidecar whose key is refused."""
    scene = Scene(**{"app_interval": 2.0, **policy})
    scene.server.refuses[KEY] = reason
    return scene.begin()


def restart(scene: Scene, deployment_id: str, seconds: float = APP_START) -> None:
    """Let the app's container restart."""
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(seconds)
    scene.app.trouble, scene.app.deployment_id = None, deployment_id
    scene.run(3)


def test_restart_file_is_touched_after_a_while_and_again_and_again() -> None:
    """The liveness probe believes only a file that is younger than two minutes."""
    scene = refused()
    scene.run(59)
    assert not scene.restart_file
    scene.run(2)
    assert scene.restart_file
    assert [it.text for it in scene.noticed(Occasion.RESTART_ASKED)] == ["no: invalid_key"]
    scene.run(300)
    touched = scene.commanded(TouchRestartFile)
    assert len(touched) >= 10
    assert max(after - before for before, after in pairwise(touched)) < 120


def test_restart_file_is_removed_when_the_container_restarts() -> None:
    """From then on it would only do harm to the new container."""
    scene = refused()
    scene.run(61)
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(3)
    assert not scene.restart_file


def test_restart_file_is_removed_when_the_app_has_another_id() -> None:
    """A restart so quick that no question failed."""
    scene = refused()
    scene.run(61)
    scene.app.deployment_id = OTHER_ID
    scene.run(3)
    assert not scene.restart_file


def test_restart_file_pauses_double_up_to_half_an_hour() -> None:
    """However long the app takes to come up: a container must not be restarted again and again at once."""
    scene = refused()
    pauses = []
    for number in range(8):
        answers_since = scene.now
        while not scene.restart_file:
            scene.run(1)
        pauses.append(scene.now - answers_since)
        restart(scene, (OTHER_ID, THIRD_ID)[number % 2])
    assert 55 <= pauses[0] <= 65
    assert all(after > 1.8 * before for before, after in pairwise(pauses[:5])), pauses
    assert all(RESTART_CAP - 5 <= pause <= RESTART_CAP + 5 for pause in pauses[-2:]), pauses


def test_restart_file_pauses_double_for_a_quick_container_too() -> None:
    """Gone for two seconds only."""
    scene = refused()
    scene.run(61)
    restart(scene, OTHER_ID, 2.0)
    assert not scene.restart_file
    scene.run(100)
    assert not scene.restart_file
    scene.run(20)
    assert scene.restart_file


def test_restart_file_waits_for_the_app_to_answer() -> None:
    """A container that does not answer is restarting, or about to fail its own probe."""
    scene = refused()
    scene.run(50)
    scene.app.trouble = AppTrouble.BROKEN
    scene.run(100)
    assert not scene.restart_file
    scene.app.trouble = None
    scene.run(6)
    assert scene.restart_file


def test_restart_file_is_removed_when_the_refusal_ends() -> None:
    """The seat came after all."""
    scene = refused(refused_retry=100.0)
    scene.run(61)
    assert scene.restart_file
    scene.server.refuses.clear()
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    assert not scene.restart_file


def test_restart_file_is_removed_when_the_key_changes() -> None:
    """The new key deserves a try with the container that is there."""
    scene = refused()
    scene.run(61)
    assert scene.restart_file
    scene.keys(NEW_KEY, KEY)
    assert not scene.restart_file
    scene.run(5)
    assert scene.stage is Stage.ACTIVE


def test_restart_file_is_removed_at_the_stop() -> None:
    """A dead sidecar must never restart an app."""
    scene = refused()
    scene.run(61)
    scene.stop()
    assert not scene.restart_file
    scene.run(20)
    assert len(scene.commanded(RemoveRestartFile)) == 1


def test_restart_file_never_for_a_licensed_app() -> None:
    """A refusal for an app that says it is licensed is a warning and grace."""
    scene = Scene()
    scene.server.refuses[KEY] = Failure.EXPIRED
    scene.app.licensed = True
    scene.begin()
    scene.run(4000)
    assert scene.commanded(TouchRestartFile) == []
    assert scene.view.ready


def test_restart_file_is_removed_when_the_app_is_licensed_after_all() -> None:
    """By whatever means."""
    scene = refused()
    scene.run(61)
    scene.app.licensed = True
    scene.run(3)
    assert not scene.restart_file


def test_restart_file_never_while_waiting() -> None:
    """A seat is about to become free: the app that runs is the one that will get it."""
    scene = Scene()
    scene.server.seats[KEY] = 0
    scene.begin()
    scene.prospects = frozenset({"a"})
    scene.feed(ProspectsSeen(names=scene.prospects))
    scene.run(600)
    assert scene.commanded(TouchRestartFile) == []


def test_restart_file_is_removed_when_waiting_begins() -> None:
    """And asked for again a while after nobody is about to leave any more."""
    scene = Scene()
    scene.server.seats[KEY] = 0
    scene.begin()
    scene.run(61)
    assert scene.restart_file
    scene.feed(ProspectsSeen(names=frozenset({"a"})))
    assert not scene.restart_file
    scene.feed(ProspectsSeen(names=frozenset()))
    scene.run(50)
    assert not scene.restart_file
    scene.run(20)
    assert scene.restart_file


def test_restart_file_can_be_switched_off() -> None:
    """0 = never."""
    scene = refused(restart_after=0.0)
    scene.run(4000)
    assert scene.commanded(TouchRestartFile) == []


def test_restart_file_never_while_the_old_key_still_holds_a_seat() -> None:
    """Only the new key was refused."""
    scene = Scene().begin()
    scene.server.refuses[NEW_KEY] = Failure.INVALID_KEY
    scene.keys(NEW_KEY, KEY)
    scene.run(4000)
    assert scene.commanded(TouchRestartFile) == []
    assert scene.taken(ID)


def test_restart_file_for_an_app_that_lost_its_licence_and_is_refused_another() -> None:
    """The seat was ours once; the server says no, and the app is not licensed: refused like anybody else."""
    scene = Scene(app_interval=2.0, revalidate=0.0).begin()
    scene.run(60)
    scene.server.refuses[KEY] = Failure.EXPIRED
    scene.app.licensed = False
    scene.run(10)
    assert scene.stage is Stage.REFUSED
    assert scene.view.why == "no: expired"
    assert not scene.restart_file
    scene.run(60)
    assert scene.restart_file
    assert scene.stored() is not None, "it may still be taken"
