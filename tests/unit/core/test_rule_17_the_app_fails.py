"""Rule 17, outside Kubernetes: a refused connection counts as an exit, long silence as failure."""

from sidecar.core.commands import Deactivate, Occasion
from sidecar.core.events import Knocked
from sidecar.core.reasons import AppTrouble
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, OTHER_ID, Scene


def gone(scene: Scene) -> None:
    """Let the app's port refuse connections."""
    scene.app.trouble = AppTrouble.REFUSED
    scene.feed(Knocked(trouble=AppTrouble.REFUSED))


def back(scene: Scene, deployment_id: str) -> None:
    """Let the app answer again, unlicensed if it is another."""
    scene.app.trouble = None
    scene.app.licensed = deployment_id == scene.app.deployment_id
    scene.app.deployment_id = deployment_id
    scene.feed(Knocked(trouble=None))
    scene.run(1)


def test_rule_17_an_exit_longer_than_the_grace_releases_the_seat() -> None:
    """Five seconds, and not sooner."""
    scene = Scene().begin()
    gone(scene)
    scene.run(4.9)
    assert scene.taken()
    scene.run(0.2)
    assert not scene.taken()
    assert scene.records == {}
    assert len(scene.noticed(Occasion.APP_FAILED)) == 1


def test_rule_17_back_sooner_with_the_same_id_changes_nothing() -> None:
    """A port that blinked."""
    scene = Scene().begin()
    gone(scene)
    scene.run(3)
    back(scene, ID)
    scene.run(30)
    assert scene.asked(Deactivate) == []
    assert scene.stage is Stage.ACTIVE


def test_rule_17_back_sooner_with_another_id_is_rule_8() -> None:
    """The old seat goes, the new one comes."""
    scene = Scene().begin()
    gone(scene)
    scene.run(3)
    back(scene, OTHER_ID)
    assert (scene.taken(ID), scene.taken(OTHER_ID)) == (False, True)
    assert scene.stage is Stage.ACTIVE


def test_rule_17_silence_is_failure_only_after_a_minute() -> None:
    """An app that does not answer may be busy."""
    scene = Scene(unreachable_after=60.0).begin()
    scene.app.trouble = AppTrouble.SILENT
    scene.run(70)
    assert scene.taken()
    scene.run(10)
    assert not scene.taken()


def test_rule_17_an_app_that_answers_nonsense_has_not_ended() -> None:
    """403 and 500 are answers: nothing is released, however long."""
    for trouble in (AppTrouble.FORBIDDEN, AppTrouble.BROKEN):
        scene = Scene().begin()
        scene.app.trouble = trouble
        scene.run(3600)
        assert scene.taken()


def test_rule_17_nothing_is_released_while_the_ledger_is_down() -> None:
    """First the mark: a release that nobody wrote down could not be finished by anybody else."""
    scene = Scene().begin()
    scene.ledger_down()
    gone(scene)
    scene.run(60)
    assert scene.asked(Deactivate) == []
    scene.ledger_up()
    scene.run(20)
    assert not scene.taken()
