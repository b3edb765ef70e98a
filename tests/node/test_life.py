"""The life of a pod under a real kubelet: its start, its end, and everything that can come between."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from pathlib import Path

from tests.cluster.control_plane.pods import APP, SIDECAR
from tests.node.scene import FAILURE_GRACE, PRE_STOP, SEATS, Pod, Release, ends, tell


def started(pod: Pod, container: str) -> datetime:
    """Return when a container started, to a second."""
    return datetime.fromisoformat(pod.container(container)["state"]["running"]["startedAt"])


def asked(release: Release) -> list[tuple[str, str]]:
    """Return what the activation server was asked, oldest first: operation and deployment ID."""
    return [(one["operation"], one["deployment"]) for one in release.journal()]


def test_three_pods_with_a_seat_each(release: Release) -> None:
    """In a restricted namespace: the sidecar before the app, roots read-only, probes that pass, seats listed."""
    pods = release.pods()
    assert len(pods) == len(release.seats()) == SEATS
    for pod in pods:
        assert pod.container(SIDECAR)["started"]
        assert started(pod, SIDECAR) <= started(pod, APP)
        assert [pod.restarts(container) for container in (APP, SIDECAR)] == [0, 0]
        for container in (APP, SIDECAR):
            mounts = Path(f"/proc/{release.pid(pod, container)}/mounts").read_text().splitlines()
            (options,) = [line.split()[3] for line in mounts if line.split()[1] == "/"]
            assert "ro" in options.split(",")
    assert f"{SEATS} seats: {SEATS} of owners that live" in release.sidecar(pods[0], "license-sidecar", "list")


def test_a_deleted_pod_gives_its_seat_back(release: Release) -> None:
    """preStop, the app's end, then the sidecar's SIGTERM: at once the seat is free, for the pod that comes instead."""
    pod = release.pods()[0]
    seat = release.deployments()[pod.uid]
    pids = {container: release.pid(pod, container) for container in (APP, SIDECAR)}
    since = time.monotonic()
    release.admin.delete_pod(release.namespace, pod.name)
    ended = ends(pids)
    free = release.until_free(seat)
    assert since + PRE_STOP <= ended[APP] < ended[SIDECAR]
    tell("deletion to the app's end", ended[APP] - since)
    tell("the app's end to the sidecar's end", ended[SIDECAR] - ended[APP])
    tell("the app's end to seat free, at most", free - ended[APP])
    release.until("the end of the pod", lambda: release.pod(pod.name) is None)
    assert asked(release).count(("deactivate", seat)) == 1


def test_an_app_that_is_killed_gets_another_seat(release: Release) -> None:
    """The kubelet starts it again with another ID: the old seat is free, the new one taken, the sidecar untouched."""
    pod = release.pods()[0]
    seat = release.deployments()[pod.uid]
    since = time.monotonic()
    release.kill(pod, APP)
    free = release.until_free(seat)
    tell("SIGKILL of the app to its old seat free", free - since)
    after = release.restarted(pod, APP, pod.restarts(APP) + 1)
    release.settled(SEATS)
    tell("SIGKILL of the app to ready with its new seat", time.monotonic() - since)
    assert after.restarts(SIDECAR) == pod.restarts(SIDECAR)
    assert release.deployments()[pod.uid] != seat


def test_an_app_in_a_crash_loop_holds_no_seat(release: Release) -> None:
    """An app that stays down for longer than the failure grace gives its seat to others."""
    pod = release.pods()[0]
    release.kill(pod, APP)
    pod = release.restarted(pod, APP, pod.restarts(APP) + 1)
    release.settled(SEATS)
    # From its second failure on the kubelet makes a container wait, ten seconds at first.
    seat = release.deployments()[pod.uid]
    since = time.monotonic()
    release.kill(pod, APP)
    free = release.until_free(seat)
    tell("SIGKILL of an app in back-off to its seat free", free - since)
    assert free - since >= FAILURE_GRACE - 0.5


def test_a_sidecar_that_is_killed_keeps_its_seat(release: Release) -> None:
    """By SIGKILL or alone by SIGTERM: its successor adopts the seat, and the activation server is not asked."""
    pod = release.pods()[0]
    for restarts, number in enumerate((signal.SIGTERM, signal.SIGKILL), 1):
        seat, before = release.deployments()[pod.uid], asked(release)
        since = time.monotonic()
        release.kill(pod, SIDECAR, number)
        again = release.restarted(pod, SIDECAR, pod.restarts(SIDECAR) + restarts)
        tell(f"{number.name} of the sidecar to ready again", time.monotonic() - since)
        assert release.deployments()[pod.uid] == seat
        assert seat in release.seats()
        assert asked(release) == before
        assert again.restarts(APP) == pod.restarts(APP)


def test_a_pod_that_is_deleted_by_force_leaks_nothing(release: Release) -> None:
    """Its object is gone at once, its containers are killed some time later: its seat is free, by whoever is first."""
    pod = release.pods()[0]
    seat = release.deployments()[pod.uid]
    since = time.monotonic()
    release.admin.force_delete_pod(release.namespace, pod.name)
    free = release.until_free(seat)
    tell("deletion by force to seat free", free - since)
    release.settled(SEATS)


def test_a_rolling_restart_on_exactly_as_many_seats(release: Release) -> None:
    """Three pods on three seats are replaced one after another: nobody is refused for good, nothing leaks."""
    before = {pod.uid for pod in release.pods()}
    since = time.monotonic()
    release.restart()
    release.until("the rollout", lambda: not before & {pod.uid for pod in release.pods(all_of_them=True)}, limit=180)
    pods = release.settled(SEATS)
    tell("rolling restart of three pods", time.monotonic() - since)
    assert [pod.restarts(APP) for pod in pods] == [0, 0, 0]
