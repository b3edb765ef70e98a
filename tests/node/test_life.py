"""The life of a pod under a real kubelet: its start, its end, and everything that can come between."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from sidecar.core.policy import SUCCESSION
from tests.cluster.control_plane.pods import APP, SIDECAR
from tests.node.pod import Pod, ends, runs
from tests.node.scene import FAILURE_GRACE, LEASE, PRE_STOP, SEATS, Release, tell


def started(pod: Pod, container: str) -> datetime:
    """Return when a container started, to a second."""
    return datetime.fromisoformat(pod.container(container)["state"]["running"]["startedAt"])


def asked(release: Release, deployment: str) -> list[str]:
    """Return what the activation server was asked about a deployment ID, oldest first."""
    return [one["operation"] for one in release.journal() if one["deployment"] == deployment]


def doubtful(took: float) -> list[str]:
    """Return what a successor may ask for that came ``took`` seconds after its predecessor: nothing, if it was quick.

    A record that is too old leaves a doubt whether the predecessor gave the seat back; then the same is asked for once
    more. At its predecessor's end it was not older than a lease.
    """
    return ["activation"] if took > SUCCESSION - LEASE else []


# It joins the control group of the process that it is told, whom the kernel rather kills than it, and takes memory
# until that one is gone.
_HOG = """
import os, pathlib, sys
groups = dict(line.split(":")[1:] for line in open(f"/proc/{sys.argv[1]}/cgroup").read().splitlines())
pathlib.Path("/sys/fs/cgroup/memory" + groups["memory"], "cgroup.procs").write_text(str(os.getpid()))
taken = []
while os.path.exists(f"/proc/{sys.argv[1]}"):
    taken.append(b"x" * (1 << 20))
"""


def exhaust_memory(pid: int) -> None:
    """Let the kernel end the first process of a container because its container has no memory left."""
    if not Path("/sys/fs/cgroup/memory").is_dir():
        pytest.skip("the memory of a container is found by version 1 of control groups, and this machine has version 2")
    Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    subprocess.run([sys.executable, "-c", _HOG, str(pid)], check=False, timeout=60)
    assert not runs(pid)


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


def test_the_way_in_leads_to_a_licensed_app(release: Release) -> None:
    """``helm test``: every sidecar says ready, and the app answers ICAP at its Service, under the cluster's names."""
    said = release.test()
    assert "ICAP OPTIONS: ICAP/1.0 200" in said
    assert all(pod.ip in said for pod in release.pods())


def test_a_deleted_pod_gives_its_seat_back(release: Release) -> None:
    """preStop, the app's end, then the sidecar's SIGTERM: at once the seat is free, for the pod that comes instead."""
    pod = release.sound()
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
    assert asked(release, seat) == ["activation", "deactivation"]


def test_an_app_that_is_killed_gets_another_seat(release: Release) -> None:
    """The kubelet starts it again with another ID: the old seat is free, the new one taken, the sidecar untouched."""
    pod = release.sound()
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
    pod = release.sound()
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


def test_an_app_that_the_kernel_kills(release: Release) -> None:
    """Out of memory is a failure like any other: the old seat is free, the app's next life gets another."""
    pod = release.sound()
    seat = release.deployments()[pod.uid]
    exhaust_memory(release.pid(pod, APP))
    since = time.monotonic()
    free = release.until_free(seat)
    tell("out of memory to the old seat free", free - since)
    after = release.restarted(pod, APP, pod.restarts(APP) + 1)
    assert after.container(APP)["lastState"]["terminated"]["reason"] == "OOMKilled"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda it: it.name)
def test_a_sidecar_that_ends_alone_keeps_its_seat(release: Release, number: signal.Signals) -> None:
    """Its successor adopts the seat: it is never given back, and while the record is fresh nobody asks the server."""
    pod = release.sound()
    release.until_renewed(pod)
    seat = release.deployments()[pod.uid]
    before = asked(release, seat)
    since = time.monotonic()
    release.kill(pod, SIDECAR, number)
    again = release.restarted(pod, SIDECAR, pod.restarts(SIDECAR) + 1)
    took = time.monotonic() - since
    tell(f"{number.name} of the sidecar to ready again", took)
    assert again.restarts(APP) == pod.restarts(APP)
    assert release.deployments()[pod.uid] == seat
    assert asked(release, seat) in (before, before + doubtful(took))
    exit_code = again.container(SIDECAR)["lastState"]["terminated"]["exitCode"]
    assert exit_code == (0 if number is signal.SIGTERM else 128 + number)


def test_a_sidecar_that_hangs_keeps_its_seat(release: Release) -> None:
    """Its liveness probe fails for half a minute and more, longer than a lease: nobody takes the seat meanwhile."""
    pod = release.sound()
    seat = release.deployments()[pod.uid]
    before = asked(release, seat)
    since = time.monotonic()
    release.kill(pod, SIDECAR, signal.SIGSTOP)
    again = release.restarted(pod, SIDECAR, pod.restarts(SIDECAR) + 1)
    took = time.monotonic() - since
    tell("a hang of the sidecar to ready again", took)
    assert took > LEASE
    assert again.restarts(APP) == pod.restarts(APP)
    assert release.deployments()[pod.uid] == seat
    assert asked(release, seat) in (before, before + doubtful(took))


def test_a_pod_that_is_deleted_by_force_leaks_nothing(release: Release) -> None:
    """Its object is gone at once, its containers are killed some time later: its seat is free, by whoever is first."""
    pod = release.sound()
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
