"""Rule 18 and 19 on a real API server: whether a SIGTERM is the end of the pod, or only of the sidecar."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.control_plane.pods import terminated
from tests.cluster.stories.scene import Pod, PodScene
from tests.process.processes import until

DONE, UNREACHED = 0, 69
SLACK = 0.7
"""Seconds that a loaded machine may take to end a process and to notice it."""
UNASKED = {"activation.late": 30, "lease.renew": 5, "lease.duration": 20}
"""An adopted seat is asked about once, 20 s after the adoption at the earliest, and at once only where the record is
older than a minute: both after the end of the test, however short the times are."""


def stopped(pod: Pod, *, within: float) -> int:
    """Send SIGTERM to the sidecar and return its exit code; the end comes within so many seconds."""
    began = time.monotonic()
    pod.term()
    code = pod.runs.process.wait()
    took = time.monotonic() - began
    assert took < within + SLACK, pod.scene.story()
    assert "Traceback" not in pod.runs.process.printed()
    return code


def end_app(pod: Pod) -> None:
    """End the app's process, as the kubelet does before it turns to the sidecar."""
    assert pod.app is not None
    pod.app.process.end()


def expect_free(story: PodScene) -> None:
    """Expect neither a seat nor a record."""
    assert (story.taken(), story.records()) == (set(), {})


def test_a_sidecar_that_is_stopped_alone_leaves_the_seat_and_its_successor_adopts_it(story: PodScene) -> None:
    """The pod stays, so the record stays active; the next sidecar is ready without a single request to the server."""
    pod = story.ready_pod("icap-0", UNASKED)
    for _ in range(2):
        assert stopped(pod, within=1.0) == DONE
        assert (story.taken(), story.phase(pod.id)) == ({pod.id}, "active")
        assert pod.runs.logged("seat left for the next sidecar of this pod")
        pod.start(UNASKED)
        story.until_ready(pod.runs)
        assert pod.runs.logged("found our own seat record")
    time.sleep(1.0)  # several questions to the app later
    assert (story.asked("activation"), story.asked("deactivation")) == (1, 0)
    assert set(story.records()) == {pod.id}


def test_a_sidecar_that_is_killed_alone_is_followed_by_one_that_adopts_the_seat(story: PodScene) -> None:
    """An OOM kill of the sidecar is no end of the pod either."""
    pod = story.ready_pod("icap-0", UNASKED)
    pod.runs.process.end()
    pod.start(UNASKED)
    story.until_ready(pod.runs)
    assert (story.asked("activation"), story.taken()) == (1, {pod.id})


def test_the_deletion_of_the_pod_gives_the_seat_back_at_once(story: PodScene) -> None:
    """The app has ended, the pod has a deletionTimestamp: seat free, record erased, in a fraction of the budget."""
    pod = story.ready_pod()
    pod.delete(30)
    end_app(pod)
    assert stopped(pod, within=1.0) == DONE
    expect_free(story)
    assert [reason for reason, _ in story.events(pod)].count("SeatReleased") == 1


def test_the_deletion_of_a_pod_whose_sidecar_has_not_heard_of_it(story: PodScene) -> None:
    """SIGTERM overtakes the watch: the sidecar looks at its pod itself, and gives the seat back all the same."""
    pod = story.ready_pod()
    end_app(pod)
    pod.delete(30)
    assert stopped(pod, within=1.0) == DONE
    expect_free(story)


ENDS: dict[str, Callable[[Pod], object]] = {
    "evicted": lambda pod: pod.report(phase="Failed", reason="Evicted"),
    "succeeded": lambda pod: pod.report(phase="Succeeded"),
    "disrupted": lambda pod: pod.report(conditions={"DisruptionTarget": "True"}),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_evictions_and_node_shutdowns_count_as_the_end(story: PodScene, end: Callable[[Pod], object]) -> None:
    """They set no deletionTimestamp: a terminal phase or the condition DisruptionTarget gives the seat back."""
    pod = story.ready_pod()
    end(pod)
    end_app(pod)
    assert stopped(pod, within=1.0) == DONE
    expect_free(story)


def test_an_app_whose_port_refuses_counts_as_the_end(story: PodScene) -> None:
    """A hard eviction writes nothing into the status: the app's port refuses, so the seat is given back."""
    pod = story.ready_pod("icap-0", {"app.failure_grace": 30})
    end_app(pod)
    assert stopped(pod, within=1.0) == DONE
    expect_free(story)


def test_an_app_whose_container_ended_just_before_counts_as_the_end(story: PodScene) -> None:
    """The status says that the app's container has terminated, before the grace of a failure is over."""
    pod = story.ready_pod("icap-0", {"app.failure_grace": 30})
    pod.container(state=terminated(0), ready=False)
    end_app(pod)
    assert stopped(pod, within=1.0) == DONE
    expect_free(story)


def test_a_paused_api_server_and_an_app_that_serves_leave_the_seat(
    story: PodScene, own_control_plane: ControlPlane
) -> None:
    """Whether the pod ends cannot be found out: the sidecar ends in a moment, the seat stays, the next adopts it."""
    pod = story.ready_pod("icap-0", UNASKED)
    own_control_plane.pause_api_server()
    assert stopped(pod, within=1.5) == DONE
    assert story.taken() == {pod.id}
    own_control_plane.resume_api_server()
    assert story.phase(pod.id) == "active"
    pod.start(UNASKED)
    story.until_ready(pod.runs)
    assert (story.asked("activation"), story.asked("deactivation")) == (1, 0)


def test_a_paused_api_server_and_a_port_that_refuses_free_the_seat(
    story: PodScene, own_control_plane: ControlPlane
) -> None:
    """Releasing needs no API server: the seat is free at once, and the process ends within its budget."""
    budget = 3.0
    pod = story.ready_pod("icap-0", {"shutdown.budget": budget, "app.failure_grace": 30})
    deployment = pod.id
    own_control_plane.pause_api_server()
    end_app(pod)
    began = time.monotonic()
    pod.term()
    story.until_taken()
    assert time.monotonic() - began < 1.0 + SLACK
    assert pod.runs.process.wait() == UNREACHED, story.story()  # the record could not be erased
    assert time.monotonic() - began < budget + SLACK
    own_control_plane.resume_api_server()
    record = story.records()[deployment]
    pod.vanish()
    story.until_nothing_is_left()
    assert record["phase"] in ("active", "releasing", "handover")


def test_a_grace_period_that_is_shorter_than_the_budget_bounds_the_stop(story: PodScene) -> None:
    """The server hangs: the record is handed over before the kubelet would kill, though the budget is 20 s."""
    pod = story.ready_pod("icap-0", {"shutdown.budget": 20})
    deployment = pod.id
    story.fault("hang", "deactivation")
    pod.delete(3)
    end_app(pod)
    assert stopped(pod, within=3.0) == UNREACHED
    assert (story.phase(deployment), story.taken()) == ("handover", {deployment})
    story.heal()
    pod.vanish()
    story.until_nothing_is_left()


def test_a_plain_container_waits_for_its_app(story: PodScene) -> None:
    """App and sidecar get SIGTERM together: a closed REST port is no end while anybody in the pod holds a connection.

    Here the pod has the network of the whole machine, so that is so until the end of the drain. Where it has one of its
    own, the seat is free as soon as the app has ended (``tests/chart``, ``tests/node``).
    """
    drain = 5.0
    pod = story.ready_pod("icap-0", {"shutdown.drain": drain})
    pod.delete(30)
    told = time.monotonic()
    pod.term()
    time.sleep(1.5)
    assert (story.taken(), pod.runs.process.code) == ({pod.id}, None)
    end_app(pod)
    time.sleep(1.5)
    assert (story.taken(), pod.runs.process.code) == ({pod.id}, None)
    assert pod.runs.process.wait() == DONE
    assert drain - 0.5 < time.monotonic() - told < drain + 1.5 + SLACK
    expect_free(story)


def test_a_plain_containers_app_that_has_ended_by_the_pods_status(story: PodScene) -> None:
    """Whoever writes single containers into the status of a pod that ends is believed: nobody waits for the drain."""
    pod = story.ready_pod("icap-0", {"shutdown.drain": 30})
    pod.delete(60)
    pod.term()
    end_app(pod)
    time.sleep(1.5)
    assert (story.taken(), pod.runs.process.code) == ({pod.id}, None)
    pod.container(state=terminated(0), ready=False)
    ended = time.monotonic()
    assert pod.runs.process.wait() == DONE
    assert time.monotonic() - ended < 1.5 + SLACK
    expect_free(story)


def test_figure_sigterm_to_seat_free(story: PodScene) -> None:
    """Design.md section 10: the median from SIGTERM to the free seat is printed; twice the target's 99th is the limit.

    The mock's own clock judges, so that our polling takes no part.
    """
    story.mock.put_key(story.key, seats=10)
    took: list[float] = []
    pods = [story.ready_pod(f"icap-{number}") for number in range(5)]
    for pod in pods:
        deployment = pod.id
        pod.delete(30)
        end_app(pod)
        until("the deletion to be seen", lambda pod=pod: pod.runs.status()["pod"]["deleting"])
        begin = time.time()
        pod.term()
        assert pod.runs.process.wait() == DONE
        (answer,) = [
            it for it in story.mock.journal(story.fingerprint, "deactivation") if it["deployment"] == deployment
        ]
        took.append(answer["done_at"] - begin)
    print("SIGTERM to seat free:", *(f"{1000 * it:.1f} ms" for it in sorted(took)))  # noqa: T201 - a figure to see
    assert sorted(took)[len(took) // 2] < 0.1
    expect_free(story)
