"""What an operator sees and does in Kubernetes: list, status, reclaim, release, as a table and as JSON, and events."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from sidecar.core.records import Owner, Phase
from tests.cluster.stories.scene import Pod, PodScene
from tests.process.processes import until

QUICK = {"lease.duration": 1.2, "lease.renew": 0.3, "activation.late": 1}
IDLE = {**QUICK, "reclaim.enabled": "false"}
"""A sidecar that leaves it to the command that is tested."""
REMAINS, REFUSED = 69, 77


@pytest.fixture
def pod(story: PodScene) -> Pod:
    """Return a pod with its seat, in which an operator calls commands; there are seats for more."""
    story.mock.put_key(story.key, seats=5)
    return story.ready_pod("icap-0", IDLE)


def answered(story: PodScene, pod: Pod, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a command for a program; return exit code and object."""
    code, out, err = story.operated(pod, *arguments, "--output", "json", more=IDLE)
    assert "Traceback" not in err
    told: dict[str, Any] = json.loads(out)
    return code, told


def asked(story: PodScene, *arguments: str) -> tuple[int, str]:
    """Run a command that asks the sidecar beside it and has no settings; return exit code and output."""
    process = story.command(*arguments, name=arguments[0], environ=story.environ).process
    return process.wait(), process.out.read_text()


def test_list_tells_the_living_from_the_orphans(story: PodScene, pod: Pod) -> None:
    """For a person and for a program: owner, key, phase, and whether it is an orphan; what is no record is told too."""
    orphan = story.plant(story.gone("lost"))
    handed = story.plant(story.gone("handed-over"), Phase.HANDOVER)
    stray = story.records()[orphan]["name"][:-4] + "dead"
    copy = story.admin.get("leases", story.records()[orphan]["name"], story.namespace)
    meta = {"name": stray, "labels": copy["metadata"]["labels"], "annotations": copy["metadata"]["annotations"]}
    story.admin.create("leases", {"metadata": meta, "spec": copy["spec"]}, story.namespace)
    code, told = answered(story, pod, "list")
    assert code == 0
    seats = {it["deployment_id"]: it for it in told["seats"]}
    assert {name: it["orphan"] for name, it in seats.items()} == {pod.id: "no", orphan: "not yet", handed: "yes"}
    assert seats[pod.id]["phase"] == "active"
    assert [it["name"] for it in told["strays"]] == [stray]
    code, out, _ = story.operated(pod, "list", more=IDLE)
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert code == 0
    assert "icap-0" in lines[pod.id]
    assert "its pod does not exist" in lines[orphan]
    assert stray in out
    assert story.fingerprint in out


def test_a_dry_run_changes_nothing_and_a_run_releases_the_orphans_alone(story: PodScene, pod: Pod) -> None:
    """``--dry-run`` says what ``--once`` then does; the seat of the pod that lives is kept."""
    orphan = story.plant(story.gone("lost"))
    code, told = answered(story, pod, "reclaim", "--dry-run")
    assert (code, {it["deployment_id"]: it["result"] for it in told["results"]}) == (
        0,
        {pod.id: "kept", orphan: "planned"},
    )
    assert (story.taken(), story.asked("deactivation")) == ({pod.id, orphan}, 0)
    code, told = answered(story, pod, "reclaim", "--once")
    assert (code, {it["deployment_id"]: it["result"] for it in told["results"]}) == (
        0,
        {pod.id: "kept", orphan: "released"},
    )
    assert (story.taken(), set(story.records())) == ({pod.id}, {pod.id})
    assert pod.runs.ready


def test_all_takes_the_operators_word_for_owners_that_cannot_be_looked_for(story: PodScene, pod: Pod) -> None:
    """Their namespace is closed to us: ``--once`` leaves them and says so, ``--all`` releases what nobody renews."""
    far = story.plant(Owner("far", "no-such-uid", "kube-public"))
    code, told = answered(story, pod, "reclaim", "--once")
    assert code == REMAINS
    assert {it["deployment_id"]: it["result"] for it in told["results"]} == {pod.id: "kept", far: "left"}
    code, told = answered(story, pod, "reclaim", "--all")
    assert code == 0
    assert {it["deployment_id"]: it["result"] for it in told["results"]} == {pod.id: "kept", far: "released"}
    assert story.taken() == {pod.id}


def test_watch_reclaims_for_ever_and_ends_at_sigterm(story: PodScene, pod: Pod) -> None:
    """What is lost while it watches is free a lease later; its log tells; it ends within two seconds with 0."""
    watch = story.operate(pod, "reclaim", "--watch", more=IDLE)
    lost = story.ready_pod("icap-1", IDLE)
    deployment = lost.id
    lost.kill()
    lost.vanish()
    until("the end of the orphan", lambda: story.taken() == {pod.id}, story=story.story)
    (line,) = until("its line", lambda: watch.logged("orphan's seat released"), story=story.story)
    assert (line["deployment_id"], line["owner"]) == (deployment, "icap-1")
    began = time.monotonic()
    watch.process.signal(signal.SIGTERM)
    assert watch.process.wait() == 0
    assert time.monotonic() - began < 2.5


def test_release_refuses_the_living_unless_it_is_forced(story: PodScene) -> None:
    """The pod lives: 77, and nothing was asked. Forced, its seat is free, and the sidecar helps itself (rule 15)."""
    story.mock.put_key(story.key, seats=2)
    # A renewal that meets the claim would wait for its end, half a minute: this one comes when it is over.
    pod = story.ready_pod("icap-0", {**IDLE, "lease.renew": 5, "lease.duration": 20})
    code, out, _ = story.operated(pod, "release", pod.id, more=IDLE)
    assert (code, "--force" in out, story.asked("deactivation")) == (REFUSED, True, 0)
    orphan = story.plant(story.gone("lost"))
    code, _, _ = story.operated(pod, "release", orphan, more=IDLE)
    assert (code, story.taken()) == (0, {pod.id})
    code, out, _ = story.operated(pod, "release", pod.id, "--force", more=IDLE)
    assert (code, story.asked("deactivation")) == (0, 2)
    story.expect_one_seat(pod.runs, pod.app)  # type: ignore[arg-type]


def test_status_shows_the_seat_the_record_and_the_pod(story: PodScene, pod: Pod) -> None:
    """Asked of the sidecar that runs, for a person and for a program."""
    port = str(pod.runs.port)
    code, out = asked(story, "status", "--port", port, "--output", "json")
    told = json.loads(out)
    assert (code, told["state"], told["ready"], told["pod"]["deleting"]) == (0, "active", True, False)
    code, out = asked(story, "status", "--port", port)
    assert (code, pod.id in out, "active" in out) == (0, True, True)
    assert asked(story, "probe", "ready", "--port", port)[0] == 0


def test_events_tell_what_happened_to_the_seat_and_are_few(story: PodScene, pod: Pod) -> None:
    """On the pod itself: activation, release, reclaiming; the same reason once a minute, however often it occurs."""
    assert pod.app is not None
    for number in range(3):
        old = pod.id
        pod.app.tell("restart", down=0, same_id=False, abrupt=True)
        pod.restart_container()
        until("another ID", lambda old=old: pod.id != old, story=story.story)
        story.expect_one_seat(pod.runs, pod.app)
        assert len(pod.runs.logged("seat confirmed")) >= number + 2
    events = until("the events", lambda: len(story.events(pod)) >= 2 and story.events(pod), story=story.story)
    assert sorted(reason for reason, _ in events) == ["Activated", "SeatReleased"]
    assert all(story.fingerprint not in message for _, message in events)
    orphan = story.plant(story.gone("lost"))
    peer = story.pod("peer", QUICK, app=False)
    told = until("its event", lambda: story.events(peer), story=story.story)
    assert [(reason, orphan in message, "lost" in message) for reason, message in told] == [
        ("OrphanReclaimed", True, True)
    ]


def test_a_refusal_is_an_event_that_warns(story: PodScene) -> None:
    """The activation server's own words stand on the pod that waits for a seat."""
    story.ready_pod("icap-0")
    pod = story.pod("icap-1")
    told = until("its event", lambda: story.events(pod), story=story.story)
    assert told[0][0] == "ActivationRefused"
    assert "The activation server says:" in told[0][1]
