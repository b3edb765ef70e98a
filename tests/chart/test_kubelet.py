"""The process kubelet keeps the order of a real one: what is tested with it rests on that."""

from __future__ import annotations

import base64
import re
import signal
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.chart.activation import LIMIT, SECURITY, is_ready
from tests.chart.kubelet.kubelet import Kubelet
from tests.cluster.control_plane.api import Object
from tests.process.processes import until

_SAY: Final = 'say() { echo "@ $0 $1 $(date +%s%N)"; }; '
_LIVES: Final = _SAY + "trap 'say TERM; sleep 0.3; say ends; exit 0' TERM; say starts; while :; do sleep 0.05; done"
_PASSES: Final = _SAY + "say runs"
Run = Callable[..., None]


def container(name: str, script: str = _LIVES, **more: Any) -> Object:
    """Return a container that writes down what happens to it."""
    command = ["bash", "-c", script, name]
    return {"name": name, "image": "license-sidecar:test", "command": command, "securityContext": SECURITY, **more}


@pytest.fixture
def run(kubelet: Kubelet, restricted: str) -> Run:
    """Make the pod ``one`` of these containers, and wait for a phase or until it is ready."""

    def made(*containers: Object, init: tuple[Object, ...] = (), phase: str = "", **spec: Any) -> None:
        body = {"containers": list(containers), "initContainers": list(init), **spec}
        kubelet.admin.create("pods", {"metadata": {"name": "one"}, "spec": body}, restricted)

        def there() -> bool:
            pod = kubelet.admin.get("pods", "one", restricted)
            return pod.get("status", {}).get("phase") == phase if phase else is_ready(pod)

        until(phase or "a ready pod", there, limit=LIMIT, story=lambda: kubelet.story(restricted))
        if not phase:  # a shell that is told to end before it has set its trap ends another way
            lasting = {f"{it['name']} starts" for it in (*containers, *init) if "say starts" in it["command"][2]}
            until("the traps", lambda: lasting <= set(diary(kubelet, restricted)), limit=LIMIT)

    return made


def diary(kubelet: Kubelet, namespace: str) -> list[str]:
    """Return what the containers of the pod wrote down, oldest first."""
    words = [
        (int(moment), f"{name} {what}")
        for file in kubelet.logs.glob(f"{namespace}_one_*")
        for name, what, moment in re.findall(r"^@ (\S+) (\S+) (\d+)$", file.read_text(), re.MULTILINE)
    ]
    return [text for _, text in sorted(words)]


def gone(kubelet: Kubelet, namespace: str) -> None:
    """Wait until the pod is gone, object and processes."""
    until("the pod's end", lambda: kubelet.admin.find("pods", "one", namespace) is None, limit=LIMIT)


def test_the_order_of_a_life(kubelet: Kubelet, restricted: str, run: Run) -> None:
    """Init containers, then sidecars until they have started, then apps; back in the opposite order, apps first."""
    started = {"exec": {"command": ["true"]}}
    hook = {"preStop": {"exec": {"command": ["bash", "-c", "sleep 0.3"]}}}
    sidecars = [container(name, restartPolicy="Always", startupProbe=started) for name in ("first", "second")]
    run(container("app", lifecycle=hook), init=(container("setup", _PASSES), *sidecars))
    kubelet.admin.delete_pod(restricted, "one")
    gone(kubelet, restricted)
    up = ["setup runs", "first starts", "second starts", "app starts"]
    down = ["app TERM", "app ends", "second TERM", "second ends", "first TERM", "first ends"]
    assert diary(kubelet, restricted) == [*up, *down]


def test_plain_containers_end_together(kubelet: Kubelet, restricted: str, run: Run) -> None:
    """Without native sidecars all containers get SIGTERM at the same time."""
    run(container("app"), container("beside"))
    kubelet.admin.delete_pod(restricted, "one")
    gone(kubelet, restricted)
    told = diary(kubelet, restricted)[2:]
    assert set(told[:2]) == {"app TERM", "beside TERM"}


def test_who_does_not_end_is_killed(kubelet: Kubelet, restricted: str, run: Run) -> None:
    """When the grace period is over the app is killed, and the sidecar still gets its SIGTERM."""
    deaf = _SAY + "trap 'say TERM' TERM; say starts; while :; do sleep 0.05; done"
    run(container("app", deaf), init=(container("beside", restartPolicy="Always"),), terminationGracePeriodSeconds=1)
    kubelet.admin.delete_pod(restricted, "one")
    gone(kubelet, restricted)
    assert diary(kubelet, restricted)[-3:] == ["app TERM", "beside TERM", "beside ends"]
    assert "app had to be killed" in kubelet.story(restricted)


def test_a_crash_is_counted(kubelet: Kubelet, restricted: str, run: Run) -> None:
    """A container that dies runs again, with a higher restartCount, another containerID and the reason of its death."""
    run(container("app"))
    before = kubelet.admin.get("pods", "one", restricted)["status"]["containerStatuses"][0]
    kubelet.signal(restricted, "one", "app", signal.SIGKILL)

    def again() -> Object | None:
        (now,) = kubelet.admin.get("pods", "one", restricted)["status"]["containerStatuses"]
        return now if now["restartCount"] == 1 and now["ready"] else None

    after = until("the restart", again, limit=LIMIT)
    assert after["containerID"] != before["containerID"]
    assert after["lastState"]["terminated"]["exitCode"] == 137
    assert after["lastState"]["terminated"]["containerID"] == before["containerID"]


def test_a_failing_liveness_probe_restarts(kubelet: Kubelet, restricted: str, run: Run) -> None:
    """A container whose liveness probe fails is told to end, and runs again."""
    volumes = [{"name": "shared", "emptyDir": {}}]
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    probe = {"exec": {"command": ["bash", "-c", "[[ ! -e /shared/sick ]]"]}, "periodSeconds": 1, "failureThreshold": 1}
    run(container("app", volumeMounts=mounts, livenessProbe=probe), volumes=volumes)
    assert kubelet.execute(restricted, "one", "app", "touch", "/shared/sick") == (0, "")
    until("SIGTERM", lambda: "app TERM" in diary(kubelet, restricted), limit=LIMIT)
    until("the next start", lambda: diary(kubelet, restricted).count("app starts") > 1, limit=LIMIT)


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_a_pod_that_shall_end_has_a_last_phase(
    kubelet: Kubelet, restricted: str, run: Run, code: int, phase: str
) -> None:
    """A pod that is never restarted succeeds or fails with its app, and its sidecar ends by itself."""
    run(
        container("app", f"exit {code}"),
        init=(container("beside", restartPolicy="Always"),),
        restartPolicy="Never",
        phase=phase,
    )
    (status,) = kubelet.admin.get("pods", "one", restricted)["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == code
    assert diary(kubelet, restricted)[-1] == "beside ends"


def test_a_changed_secret_arrives(kubelet: Kubelet, restricted: str, run: Run) -> None:
    """A Secret that is mounted shows its new content, all of it at once; what is read-only stays so."""
    kubelet.admin.create("secrets", {"metadata": {"name": "some"}, "stringData": {"a": "1", "b": "1"}}, restricted)
    run(
        container("app", volumeMounts=[{"name": "some", "mountPath": "/run/secrets/some", "readOnly": True}]),
        volumes=[{"name": "some", "secret": {"secretName": "some", "defaultMode": 0o444}}],
    )

    def seen() -> str:
        return kubelet.execute(restricted, "one", "app", "bash", "-c", "cat /run/secrets/some/*")[1]

    assert seen() == "11"
    two = base64.b64encode(b"2").decode()
    kubelet.admin.patch("secrets", "some", {"data": {"a": two, "b": None}}, restricted)
    until("the new content", lambda: seen() == "2", limit=LIMIT)
    code, said = kubelet.execute(restricted, "one", "app", "touch", "/run/secrets/some/c")
    assert code == 1
    assert "Read-only" in said


def test_a_container_is_confined(kubelet: Kubelet, restricted: str, run: Run) -> None:
    """It runs as its image's user, without capabilities, on a read-only root, and finds the API server by name."""
    run(container("app"))

    def ask(script: str) -> str:
        return kubelet.execute(restricted, "one", "app", "bash", "-c", script)[1].strip()

    assert ask("id -u") == "65532"
    assert "0000000000000000" in ask("grep CapEff /proc/self/status")
    assert "Read-only" in ask("touch /here")
    python = "import socket, os; socket.create_connection(('kubernetes.default.svc', 443)); print('there')"
    assert ask(f'python3 -c "{python}"') == "there"
