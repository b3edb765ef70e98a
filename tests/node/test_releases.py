"""Releases of their own: one whose key is refused, and one with plain sidecars from its install to its end."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable

from tests.cluster.control_plane.pods import APP, SIDECAR
from tests.node.pod import ends
from tests.node.scene import PRE_STOP, Release, fake_key, tell, trial


def test_an_app_is_restarted_until_the_key_is_right(make_release: Callable[[], Release]) -> None:
    """Refused: the file fails the liveness probe, and the kubelet restarts the app alone. The right key heals it."""
    release = make_release()
    release.install(trial(fake_key(), 1))
    (pod,) = release.settled(1)
    (known,) = release.control("/state")["keys"]
    release.control(f"/keys/{known['fingerprint']}", {"state": "expired"}, method="PATCH")
    release.admin.delete_pod(release.namespace, pod.name)
    since = time.monotonic()

    def restarted() -> bool:
        return any(one.uid != pod.uid and one.restarts(APP) for one in release.pods())

    release.until("a restart of the app by its liveness probe", restarted, limit=180)
    tell("deletion of the pod to its successor's app restarted", time.monotonic() - since)
    (pod,) = release.pods()
    assert not pod.ready
    assert pod.restarts(SIDECAR) == 0
    said = [one["message"] for one in release.admin.list("events", release.namespace)]
    assert any("the licence sidecar asks for a restart" in text for text in said)

    right = fake_key()
    release.control("/keys", {"key": right, "seats": 1})
    secret = {"data": {"value": base64.b64encode(right.encode()).decode()}}
    release.admin.patch("secrets", "mdicapsrv-license-key", secret, release.namespace)
    since = time.monotonic()
    release.until("the pod to be licensed", lambda: release.pods()[0].ready, limit=180)
    tell("right key in the Secret to licensed", time.monotonic() - since)
    assert len(release.seats()) == 1
    release.uninstall()
    release.remove()


def test_a_release_with_plain_sidecars_until_its_end(make_release: Callable[[], Release]) -> None:
    """Both get SIGTERM together, and the sidecar waits for the app; the uninstall leaves no seat, record or pod."""
    release = make_release()
    values = trial(fake_key(), 2)
    values["sidecar"]["mode"] = "container"
    release.install(values)
    pod = release.settled(2)[0]
    seat = release.deployments()[pod.uid]
    pids = {container: release.pid(pod, container) for container in (APP, SIDECAR)}
    since = time.monotonic()
    release.admin.delete_pod(release.namespace, pod.name)
    ended = ends(pids)
    free = release.until_free(seat)
    # Here the app's sockets tell the sidecar that it ends, a moment before its process has ended. The pod's status
    # never does, and without a look at the sockets of the pod's network the seat would be kept until the drain's end.
    assert since + PRE_STOP <= min(*ended.values(), free)
    assert free < ended[APP] + 5
    tell("plain: deletion to the app's end", ended[APP] - since)
    tell("plain: deletion to the sidecar's end", ended[SIDECAR] - since)
    tell("plain: deletion to seat free, at most", free - since)
    release.settled(2)

    seen: list[set[str]] = []
    said: list[str] = []
    since = time.monotonic()
    uninstall = threading.Thread(target=lambda: said.append(release.uninstall()), name="helm uninstall")
    uninstall.start()
    while uninstall.is_alive():  # the mock goes with the release, after the hook that drains it
        try:
            seen.append(release.seats())
        except (ConnectionError, TimeoutError):
            continue
    uninstall.join()
    tell("helm uninstall", time.monotonic() - since)
    assert len(seen[0]) == 2
    assert seen[-1] == set()
    assert release.deployments() == {}
    release.until("the end of the pods", lambda: not release.pods(all_of_them=True))
    assert "is scaled from 2 to 0" in "".join(said)  # what the hook wrote, as whoever uninstalls reads it
    release.remove()
