"""``drain`` as the chart's pre-delete hook runs it: a real Deployment, real sidecars, exactly the hook's Role."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.core.records import Phase
from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.hook_scene import Ended, HookScene
from tests.cluster.kubelet import WORKLOAD, Kubelet
from tests.cluster.roles import Rules, refused, rights, used
from tests.cluster.stories.scene import PodScene, rules
from tests.process.processes import Process, environment

POD = "icap-drain"
PROGRAM = str(Path(sys.executable).parent / "license-sidecar")
ALONE = {"reclaim.enabled": False}
"""Sidecars that leave orphans to the drain."""
SCALE: Rules = [
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": [WORKLOAD], "verbs": ["get", "patch"]}
]


def role() -> Rules:
    """Return the hook's Role: a sidecar's rights, and the scale of this one Deployment."""
    return [*SCALE, *rules()]


class Hook(HookScene):
    """The hook's Job beside the scene of the release that it drains."""

    def settle(self, story: PodScene) -> None:
        """Make its pod and its settings."""
        self.story = story
        uid = self.admin.create_pod(self.namespace, POD, service_account=self.name)["metadata"]["uid"]
        self.admin.set_pod_status(self.namespace, POD)
        settings = story.settings(None, {"pod.uid": uid, "ledger.account_dir": str(self.account)}, name=POD)
        self.config = story.config(settings, POD)
        self.hidden.append(story.key)

    def begin(self, *options: str) -> Process:
        """Start it."""
        return self.start("drain", "--workload", f"deployment/{WORKLOAD}", "--config", self.config, *options)

    def drained(self, kubelet: Kubelet | None = None, *options: str) -> Ended:
        """Run it to its end; the kubelet has its turns meanwhile."""
        process = self.begin("--timeout", "60s", *options)
        if kubelet is not None:
            kubelet.until("the end of the drain", lambda: process.code is not None)
        return self.end(process, limit=70)

    def nothing_is_left(self) -> bool:
        """Tell whether the ledger is empty and the server has no seat of ours."""
        return not self.story.leases() and not self.story.taken()


@pytest.fixture
def bare(story: PodScene, tmp_path: Path) -> Iterator[Hook]:
    """Yield the hook without rights."""
    made = Hook(story.cluster, story.namespace, tmp_path / "hook", "drain", story.nursery)
    made.settle(story)
    yield made
    made.close()


@pytest.fixture
def hook(bare: Hook) -> Hook:
    """Return the hook with exactly its Role."""
    bare.allow(role())
    return bare


def results(ended: Ended) -> dict[str, str]:
    """Return what became of each seat, from the JSON."""
    told = json.loads(ended.out)
    return {it["deployment_id"]: it["result"] for it in told["results"]}


def test_an_uninstall_gives_every_seat_back(hook: Hook, own_control_plane: ControlPlane) -> None:
    """Two pods release themselves; no right is missing for it, and none is used that the Role does not give."""
    kubelet = Kubelet(hook.story)
    ids = {pod.id for pod in kubelet.deploy(2)}
    assert hook.story.taken() == ids
    ended = hook.drained(kubelet, "--output", "json")
    assert (ended.code, results(ended)) == (0, dict.fromkeys(ids, "elsewhere"))
    assert f"deployment/{WORKLOAD} is scaled from 2 to 0" in ended.err
    assert hook.nothing_is_left()
    assert hook.admin.get("deployments", WORKLOAD, hook.namespace)["spec"]["replicas"] == 0
    asked = used(own_control_plane, hook.user)[hook.namespace]
    assert asked <= rights(role())
    assert asked >= rights(SCALE)
    assert refused(own_control_plane, hook.user) == []


def test_what_the_dead_left_is_reclaimed_and_other_releases_are_not_touched(hook: Hook) -> None:
    """A pod that died without a word, a record that was handed over; another release's orphan stays, with its seat."""
    kubelet, story = Kubelet(hook.story, ALONE), hook.story
    alive, dead = kubelet.deploy(2)
    ours, theirs = dead.id, {}
    kubelet.lose(dead)
    story.admin.force_delete_pod(story.namespace, dead.name)
    story.mock.put_key(story.key, seats=9)
    handed = story.plant(replace(story.gone("before"), release="rel"), Phase.HANDOVER)
    for name, phase in (("other-0", Phase.ACTIVE), ("other-1", Phase.HANDOVER)):
        theirs[story.plant(replace(story.gone(name), release="other"), phase)] = phase
    story.admin.patch("deployments", WORKLOAD, {"spec": {"replicas": 1}}, story.namespace)
    alive_id = alive.id
    ended = hook.drained(kubelet, "--output", "json")
    assert ended.code == 0
    told = results(ended)
    assert set(told) == {alive_id, ours, handed}
    assert told[alive_id] == "elsewhere"
    assert story.taken() == set(story.records()) == set(theirs)


def test_a_workload_that_is_gone_already_is_fine(hook: Hook) -> None:
    """What its pods left is reclaimed after a lease."""
    left = hook.story.plant(replace(hook.story.gone("before"), release="rel"))
    ended = hook.drained()
    assert ended.code == 0
    assert f"there is no deployment/{WORKLOAD} any more" in ended.err
    assert left in ended.out
    assert "the seat is free, its record is erased" in ended.out
    assert hook.nothing_is_left()


def test_rights_that_come_later_are_waited_for(bare: Hook) -> None:
    """The Role is made while the hook is already being refused."""
    kubelet = Kubelet(bare.story)
    kubelet.deploy(1)
    process = bare.begin("--timeout", "60s")
    bare.heard(process, "403")
    bare.admin.grant(bare.namespace, bare.name, role())
    kubelet.until("the end of the drain", lambda: process.code is not None)
    ended = bare.end(process)
    assert ended.code == 0
    assert "not done" not in ended.out
    assert bare.nothing_is_left()


def test_without_any_right_it_ends_in_time_and_says_what_it_could_not_do(bare: Hook) -> None:
    """Exit code 0: the uninstall goes on, and the pods release themselves when they are deleted."""
    kubelet = Kubelet(bare.story)
    (pod,) = kubelet.deploy(1)
    began = time.monotonic()
    ended = bare.end(bare.begin("--timeout", "6s"))
    assert time.monotonic() - began < 9.0
    assert ended.code == 0
    assert f"not done: scaling deployment/{WORKLOAD} to 0: the API server answers 403" in ended.out
    assert "not done: looking at the seat records: the API server answers 403" in ended.out
    assert "the seat records could not be seen" in ended.out
    assert bare.story.phase(pod.id) == "active"


def test_an_api_server_that_is_away_for_a_while_costs_time_only(hook: Hook, own_control_plane: ControlPlane) -> None:
    """It stops after the scaling and comes back."""
    kubelet = Kubelet(hook.story)
    kubelet.deploy(1)
    process = hook.begin("--timeout", "60s")
    hook.heard(process, "is scaled")
    own_control_plane.stop_api_server()
    hook.heard(process, "no connection")
    own_control_plane.start_api_server()
    kubelet.until("the end of the drain", lambda: process.code is not None)
    assert hook.end(process).code == 0
    assert hook.nothing_is_left()


def test_an_api_server_that_hangs_does_not_hold_up_the_uninstall(hook: Hook, own_control_plane: ControlPlane) -> None:
    """It ends within its time with 0, and says that it could not look."""
    own_control_plane.pause_api_server()
    began = time.monotonic()
    ended = hook.end(hook.begin("--timeout", "7s"))
    assert time.monotonic() - began < 9.5
    assert ended.code == 0
    assert "not done" in ended.out
    assert "no answer of the API server" in ended.out


def test_what_is_left_can_be_finished_with_the_commands_that_are_printed(hook: Hook, tmp_path: Path) -> None:
    """The activation server is silent for as long as the drain lasts; afterwards the printed commands free the seat."""
    story = hook.story
    left = story.plant(replace(story.gone("before"), release="rel"), Phase.HANDOVER)
    story.fault("hang", "deactivation")
    began = time.monotonic()
    ended = hook.end(hook.begin("--timeout", "8s"))
    assert (ended.code, time.monotonic() - began < 10.5) == (0, True)
    assert story.taken() == {left}
    story.heal()
    release, erase = (line.strip() for line in ended.out.splitlines() if line.startswith("  "))
    (tmp_path / "empty").mkdir()
    words = {"KEY": str(story.key_dir), "EMPTY": str(tmp_path / "empty"), "license-sidecar": PROGRAM}
    command = [words.get(word, word) for word in shlex.split(release)]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert story.taken() == set()
    assert shlex.split(erase) == ["kubectl", "delete", "lease", "-n", story.namespace, story.records()[left]["name"]]


def test_two_drains_at_once_release_each_seat(hook: Hook) -> None:
    """A hook that is started again while the first one still runs: both end with 0, nothing is left."""
    kubelet, story = Kubelet(hook.story, ALONE), hook.story
    kubelet.deploy(1)
    story.mock.put_key(story.key, seats=9)
    for number in range(4):
        story.plant(replace(story.gone(f"before-{number}"), release="rel"), Phase.HANDOVER)
    drains = [hook.begin("--timeout", "60s") for _ in range(2)]
    kubelet.until("the end of both", lambda: all(it.code is not None for it in drains))
    assert [hook.end(it).code for it in drains] == [0, 0]
    assert hook.nothing_is_left()


def begun(hook: Hook) -> Process:
    """Return a drain that has released the first of four seats, and the kubelet's work is still to be done."""
    hook.story.mock.put_key(hook.story.key, seats=9)
    for each in range(4):
        hook.story.plant(replace(hook.story.gone(f"before-{each}"), release="rel"), Phase.HANDOVER)
    process = hook.begin("--timeout", "60s")
    hook.heard(process, "the seat is free")
    return process


def test_a_drain_that_is_stopped_tells_how_far_it_was(hook: Hook) -> None:
    """SIGTERM in the middle of its work: at once, with exit code 0, and what is left is listed."""
    Kubelet(hook.story, ALONE).deploy(1)
    process = begun(hook)
    process.signal(signal.SIGTERM)
    began = time.monotonic()
    ended = hook.end(process)
    assert (ended.code, time.monotonic() - began < 3.0) == (0, True)
    assert "stopped before the end" in ended.err
    assert "released" in ended.out
    assert "kubectl delete lease" in ended.out


@pytest.mark.skipif(not os.environ.get("CI"), reason="waits for a claim to lapse, half a minute: set CI=1")
def test_NO_LEAK_a_drain_that_is_killed_is_finished_by_the_next(hook: Hook) -> None:  # noqa: N802 - the invariant's name
    """SIGKILL in the middle of its work: its claim holds for 30 s, then the next one goes on."""
    kubelet = Kubelet(hook.story, ALONE)
    kubelet.deploy(1)
    process = begun(hook)
    process.signal(signal.SIGKILL)
    assert hook.end(process).code == -signal.SIGKILL
    assert hook.drained(kubelet).code == 0
    assert hook.nothing_is_left()


def test_wrong_settings_are_told_and_do_not_hold_up_the_uninstall(hook: Hook) -> None:
    """All faults, in words, with exit code 0."""
    ended = hook.end(hook.begin("--lease-duration", "soon", "--activation-url", "ftp://x"))
    assert ended.code == 0
    assert "the settings have 2 faults" in ended.err
    assert "must not hold up the uninstall" in ended.err


def test_without_a_key_the_pods_release_themselves(hook: Hook, tmp_path: Path) -> None:
    """The Secret may be gone already: what lives gives its seat back, what is dead is told with what to do."""
    kubelet, story = Kubelet(hook.story, ALONE), hook.story
    (pod,) = kubelet.deploy(1)
    story.mock.put_key(story.key, seats=9)
    left = story.plant(replace(story.gone("before"), release="rel"), Phase.HANDOVER)
    pod_id = pod.id
    ended = hook.drained(kubelet, "--key-dir", str(tmp_path / "absent"), "--output", "json")
    assert ended.code == 0
    assert results(ended) == {pod_id: "elsewhere", left: "no_key"}
    assert "only what the pods give back themselves becomes free" in ended.err
    assert story.taken() == {left}
