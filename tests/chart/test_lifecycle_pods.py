"""Pods of a release come, go, crash and die: seats follow them, none leaks, none is taken from the living."""

from __future__ import annotations

import time
from typing import Any

from tests.chart.activation import Activation, is_ready
from tests.chart.release import Release, values
from tests.cluster.control_plane.api import MERGE, Object, path


def scale(release: Release, replicas: int) -> None:
    """Scale the workload as `kubectl scale` does, and wait until the pods are there or gone."""
    target = path("deployments", release.namespace, release.workload, "scale")
    release.admin.request("PATCH", target, {"spec": {"replicas": replicas}}, content_type=MERGE)
    release.until_ready(replicas)


def restarts(release: Release) -> int:
    """Return how often app containers of the workload were restarted."""
    (pod,) = release.pods()
    statuses: list[Object] = pod["status"].get("containerStatuses", [])
    return sum(it["restartCount"] for it in statuses if it["name"] == "md-icapsrv")


def lasting_refusals(activation: Activation, key: Any) -> list[str]:
    """Return the deployment IDs that were refused and never got a seat afterwards."""
    outcomes: dict[str, list[str]] = {}
    for it in activation.journal(key, operation="activation"):
        outcomes.setdefault(it["deployment"], []).append(it["outcome"])
    return [deployment for deployment, told in outcomes.items() if told[-1] != "activated"]


def test_seats_follow_the_scale(release: Release, activation: Activation) -> None:
    """Three pods take three seats, one keeps one, none keeps none."""
    key = activation.key(3)
    release.install(values(activation, key, {"license": {"seats": 3}}))
    for replicas in (3, 1, 0, 2):
        scale(release, replicas)
        release.until(f"{replicas} seats", lambda replicas=replicas: len(activation.used(key)) == replicas)
        release.until(f"{replicas} records", lambda replicas=replicas: len(release.leases()) == replicas)


def test_a_roll_with_as_many_seats_as_pods(release: Release, activation: Activation) -> None:
    """Four pods on four seats are replaced one by one: nobody stays refused, no seat leaks, no fifth is taken."""
    key = activation.key(4)
    fast = {"app": {"preStopSeconds": 0, "stopSeconds": 3}}
    given = values(activation, key, {"replicas": 4, "license": {"seats": 4}}, fast)
    release.install(given)
    before, pods = activation.used(key), release.names()
    assert len(before) == 4
    release.upgrade({**given, "podAnnotations": {"made": "up"}})
    assert not release.names() & pods
    after = activation.used(key)
    assert len(after) == 4
    assert not after & before
    assert lasting_refusals(activation, key) == []
    owners = {it["metadata"]["annotations"]["license-sidecar/pod"] for it in release.leases()}
    assert owners == release.names()
    steps = activation.control("/history")["keys"][key.fingerprint]["steps"]
    assert max(used for _, used, _ in steps) == 4


def test_a_pod_that_vanishes_leaves_no_seat(release: Release, activation: Activation) -> None:
    """A pod that dies with its node and is deleted by force: the one that takes its place gets its seat."""
    key = activation.key(2)
    release.install(values(activation, key, {"replicas": 2}))
    victim, survivor = sorted(release.names())
    (record,) = [it for it in release.leases() if it["metadata"]["annotations"]["license-sidecar/pod"] == victim]
    lost = record["metadata"]["annotations"]["license-sidecar/deployment-id"]
    kept = activation.used(key) - {lost}
    release.kubelet.kill(release.namespace, victim)
    release.admin.force_delete_pod(release.namespace, victim)
    since = time.monotonic()
    release.until("the seat of the dead", lambda: lost not in activation.used(key))
    assert time.monotonic() - since > 2, "a lease of silence comes first"
    release.until_ready(2)
    assert survivor in release.names()
    assert kept < activation.used(key)
    assert len(activation.used(key)) == 2
    assert len(release.leases()) == 2


def test_an_app_that_crashes_changes_its_seat(release: Release, activation: Activation) -> None:
    """The app's container dies and comes back with another ID: the old seat is free, the new one taken, on one seat."""
    key = activation.key(1)
    release.install(values(activation, key))
    (before,) = activation.used(key)
    (pod,) = release.names()
    release.kubelet.signal(release.namespace, pod, "md-icapsrv", 9)
    release.until("another seat", lambda: activation.used(key) not in ({before}, set()))
    release.until_ready(1)
    assert release.names() == {pod}
    assert restarts(release) == 1
    assert len(activation.used(key)) == 1


def test_a_sidecar_that_restarts_alone_keeps_the_seat(release: Release, activation: Activation) -> None:
    """The sidecar's container dies alone: the next one adopts the seat, and the activation server is not asked."""
    key = activation.key(1)
    # At the usual pace: the successor of one that missed a renewal does ask.
    release.install(values(activation, key, {"sidecar": {"settings": {"lease": {"renew": "15s", "duration": "60s"}}}}))
    seats, asked = activation.used(key), len(activation.journal(key))
    (pod,) = release.names()
    release.kubelet.signal(release.namespace, pod, "license-sidecar", 15)

    def again() -> bool:
        (status,) = release.pods()[0]["status"]["initContainerStatuses"]
        return status["restartCount"] == 1 and status["ready"]

    release.until("the next sidecar", again)
    assert activation.used(key) == seats
    assert len(activation.journal(key)) == asked


def test_the_app_restarts_until_the_key_is_right(release: Release, activation: Activation) -> None:
    """Refused, the sidecar asks for restarts of the app; with the right key in the Secret they end, without a roll."""
    wrong, right = activation.key(1), activation.key(1)
    activation.control(f"/keys/{wrong.fingerprint}", "PATCH", {"state": "expired"})
    impatient = {"sidecar": {"settings": {"refused": {"restart_app_after": "1s"}}}}
    release.run_unready("install", values(activation, wrong, impatient))
    release.until("two restarts of the app", lambda: len(release.pods()) == 1 and restarts(release) >= 2)
    (pod,) = release.names()
    assert "the licence sidecar asks for a restart" in release.kubelet.story(release.namespace)
    release.upgrade(values(activation, right, impatient))

    def left_alone() -> bool:
        before = restarts(release)
        time.sleep(6)  # a restart that was under way is over, and the liveness probe would have failed again
        return restarts(release) == before and is_ready(*release.pods())

    release.until("an app that is left alone", left_alone)
    assert len(activation.used(right)) == 1
    assert release.names() == {pod}
