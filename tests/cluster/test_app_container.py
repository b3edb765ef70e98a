"""Rule 17 on a real API server: the pod's status decides whether the app failed, and nothing else does."""

from __future__ import annotations

import time

import pytest

from tests.cluster.control_plane.api import Object
from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.control_plane.pods import terminated, waiting
from tests.cluster.stories.scene import Pod, PodScene
from tests.process.processes import until

GRACE = 1.0
TARGET = 2.0
"""Design.md section 10: seconds after the grace within which the seat is free."""
BY_STATUS = {"heartbeat.app": 30, "app.failure_grace": GRACE, "activation.late": 3}
"""The app is asked so seldom that only its container's status can tell what happens here."""
FAILURES: dict[str, Object] = {
    "exit": {"state": terminated(1), "ready": False},
    "oom": {"state": terminated(137, "OOMKilled"), "ready": False},
    "crash_loop": {
        "state": waiting("CrashLoopBackOff"),
        "lastState": terminated(1),
        "restartCount": 4,
        "ready": False,
    },
}


def down(pod: Pod, **status: object) -> float:
    """End the app's process, write how its container is, and return when (the clock of the mock)."""
    assert pod.app is not None
    deployment = pod.id
    assert deployment
    pod.app.process.end()
    at = time.time()
    pod.container(**(status or FAILURES["exit"]))
    return at


def back(pod: Pod, *, same_id: bool, down_for: float = 0.0) -> str:
    """Let the app's process restart and return the ID that it has then."""
    assert pod.app is not None
    before = pod.id
    pod.app.tell("restart", down=down_for, same_id=same_id, abrupt=True)

    def known() -> str:
        assert pod.app is not None
        now = pod.app.deployment_id
        return now if same_id or now != before else ""

    return until("the app's ID", known, story=pod.scene.story)


@pytest.mark.parametrize("end", FAILURES)
def test_a_failed_container_frees_the_seat_after_the_grace(story: PodScene, end: str) -> None:
    """Exit, OOM kill and crash loop: not before the grace of a failure, and at most two seconds after it."""
    pod = story.ready_pod("icap-0", BY_STATUS)
    deployment = pod.id
    began = down(pod, **FAILURES[end])
    story.until_taken()
    took = story.released_at(deployment) - began
    print(f"{end}: the seat was free {took:.2f} s after the status said so")  # noqa: T201 - a figure to see
    assert GRACE <= took < GRACE + TARGET
    until("no record", lambda: not story.records(), story=story.story)
    (told,) = pod.runs.logged("the app failed")
    assert told["reason"] == end
    assert not pod.runs.ready


def test_an_app_that_is_back_within_the_grace_with_the_same_id_keeps_its_seat(story: PodScene) -> None:
    """Its container ended and runs again: nothing is given back, and the licence is delivered again."""
    pod = story.ready_pod("icap-0", {**BY_STATUS, "app.failure_grace": 5})
    deployment = pod.id
    pod.container(**FAILURES["exit"])
    assert back(pod, same_id=True, down_for=0.3) == deployment
    pod.restart_container()
    story.expect_one_seat(pod.runs, pod.app)  # type: ignore[arg-type]
    until("its licence", lambda: pod.app is not None and pod.app.licensed, story=story.story)
    time.sleep(1.0)
    assert (story.asked("deactivation"), story.taken()) == (0, {deployment})


def test_an_app_that_is_back_with_another_id_changes_its_seat(story: PodScene) -> None:
    """The one seat of the key: the old ID is released, then the new one activated (rule 8)."""
    pod = story.ready_pod("icap-0", {**BY_STATUS, "app.failure_grace": 5})
    old = pod.id
    pod.container(**FAILURES["exit"])
    new = back(pod, same_id=False, down_for=0.3)
    pod.restart_container()
    story.expect_one_seat(pod.runs, pod.app)  # type: ignore[arg-type]
    assert (new != old, story.taken()) == (True, {new})


@pytest.mark.parametrize("same_id", [True, False], ids=["same", "another"])
def test_a_restart_that_only_the_count_tells(story: PodScene, same_id: bool) -> None:
    """States coalesce: all that is ever seen is a higher restartCount and another containerID of one that runs."""
    pod = story.ready_pod("icap-0", BY_STATUS)
    old = pod.id
    new = back(pod, same_id=same_id)
    assert pod.app is not None
    assert not pod.app.licensed
    time.sleep(1.0)
    assert (story.taken(), pod.app.licensed) == ({old}, False)  # nobody has told the sidecar yet
    pod.restart_container()
    story.expect_one_seat(pod.runs, pod.app)
    until("its licence", lambda: pod.app is not None and pod.app.licensed, story=story.story)
    assert (story.taken(), story.asked("deactivation")) == ({new}, 0 if same_id else 1)


def test_a_container_that_ends_while_its_pod_is_deleted_has_not_failed(story: PodScene) -> None:
    """The seat is given back by the shutdown, not as a failure, however long the sidecar waits for its SIGTERM."""
    pod = story.ready_pod("icap-0", {**BY_STATUS, "app.failure_grace": 0.2})
    deployment = pod.id
    pod.delete(30)
    down(pod, **FAILURES["exit"])
    time.sleep(1.5)
    assert (story.taken(), pod.runs.logged("the app failed")) == ({deployment}, [])
    pod.term()
    assert pod.runs.process.wait() == 0
    assert (story.taken(), story.records()) == (set(), {})


def test_nothing_is_released_while_the_pod_cannot_be_seen(story: PodScene, own_control_plane: ControlPlane) -> None:
    """The API server stops just after the status said that the app ended: only once it is back, that counts."""
    pod = story.ready_pod("icap-0", BY_STATUS)
    deployment = pod.id
    down(pod, **FAILURES["exit"])
    own_control_plane.stop_api_server()
    until("the lost watch", lambda: pod.runs.logged("our own pod cannot be seen"), story=story.story)
    time.sleep(GRACE + TARGET)
    assert (story.taken(), story.asked("deactivation")) == ({deployment}, 0)
    own_control_plane.start_api_server()
    story.until_taken()
    assert pod.runs.logged("our own pod is seen again"), story.story()
    until("no record", lambda: not story.records(), story=story.story)


def test_silence_of_the_app_alone_releases_nothing(story: PodScene) -> None:
    """Its port is silent, then refuses, far longer than any limit: the status says that the container runs."""
    pod = story.ready_pod("icap-0", {"app.failure_grace": 0.2, "app.unreachable_after": 0.5, "heartbeat.app": 0.2})
    assert pod.app is not None
    deployment = pod.id
    pod.app.tell("hang", seconds=60)
    time.sleep(2.0)
    assert story.taken() == {deployment}
    pod.app.process.end()
    time.sleep(1.5)
    assert (story.taken(), story.asked("deactivation"), story.phase(deployment)) == ({deployment}, 0, "active")


def test_a_restart_of_all_containers_in_place(story: PodScene) -> None:
    """The same pod with another sidecar and another app: the record is adopted, its ID released, the new one active."""
    pod = story.ready_pod("icap-0", BY_STATUS)
    old = pod.id
    pod.kill()
    every = {"restartCount": 1, "lastState": terminated(0), "ready": True}
    pod.report(containers={"md-icapsrv": every, "license-sidecar": every})
    pod.app = story.app(name="app-icap-0")
    pod.start(BY_STATUS)
    story.expect_one_seat(pod.runs, pod.app)
    assert pod.id != old
    assert pod.runs.logged("found our own seat record")
