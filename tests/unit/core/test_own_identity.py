"""Who we are is proven by our own pod before anything is written (`pod.name`, `pod.uid`, `pod.namespace`)."""

from __future__ import annotations

import pytest

from sidecar.core import commands, events
from sidecar.core.commands import Activate, AskApp, ListOwn, Occasion, Write
from sidecar.core.facts import PodReport
from sidecar.core.view import Stage
from tests.unit.core.driver import KEY, Scene, record


def unproven(*own: object) -> Scene:
    """Return a sidecar that knows its key and not yet its pod."""
    scene = Scene(*own, watches_pod=True)  # type: ignore[arg-type]
    scene.feed(events.Tick())
    scene.keys(KEY)
    return scene


def test_nothing_is_written_before_the_pod_was_seen() -> None:
    """Nor is anything read, adopted or asked for; the app may be asked, it is ours by its address."""
    scene = unproven(record())
    scene.run(600)
    assert scene.asked(ListOwn) + scene.asked(Write) + scene.asked(Activate) == []
    assert scene.asked(AskApp)
    assert scene.stage is Stage.STARTING
    assert scene.view.waiting_for == "a look at our own pod"
    scene.see_pod()
    scene.run(5)
    assert scene.stage is Stage.ACTIVE


def test_a_pod_that_cannot_be_seen_is_waited_for() -> None:
    """Forbidden, or no API server: told, and never guessed."""
    scene = unproven()
    for _ in range(5):
        scene.feed(events.PodUnseen(message="pods is forbidden"))
        scene.run(30)
    assert scene.exit_code is None
    assert scene.records == {}
    assert "our own pod: pods is forbidden" in scene.view.faults
    scene.see_pod()
    scene.run(5)
    assert scene.stage is Stage.ACTIVE


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (PodReport("uid-of-somebody"), "has the uid uid-of-somebody"),
        (PodReport(""), "does not exist"),
        (PodReport("uid-us", fault="app.container is nginx, but the pod's containers are app"), "app.container is"),
    ],
    ids=["another uid", "no such pod", "no such container"],
)
def test_a_pod_that_is_not_the_one_of_the_settings_ends_the_process(report: PodReport, words: str) -> None:
    """78, with the settings that are wrong, and nothing was written."""
    scene = unproven(record())
    scene.feed(events.PodSeen(report=report))
    scene.run(60)
    assert scene.exit_code == 78
    (notice,) = scene.noticed(Occasion.POD_FOREIGN)
    assert words in notice.text
    assert scene.asked(ListOwn) + scene.asked(Write) + scene.asked(Activate) == []


def test_a_pod_that_was_ours_is_not_asked_again_who_it_is() -> None:
    """Deleted by force later on: that is no wrong setting."""
    scene = unproven()
    scene.see_pod()
    scene.run(5)
    scene.see_pod(uid="")
    scene.run(60)
    assert scene.exit_code is None
    assert scene.taken()
    assert scene.commanded(commands.Exit) == []
