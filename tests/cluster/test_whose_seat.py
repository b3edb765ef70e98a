"""Rules 10, 11 and 15 on a real API server: whose seat may be taken back, and by whom it never is."""

from __future__ import annotations

import os
import signal
import time

import pytest

from sidecar.adapters.lease_record import MARKS, PHASE, PREFIX
from sidecar.core.records import Owner
from tests.cluster.roles import Right
from tests.cluster.stories.scene import Pod, PodScene
from tests.process.processes import until

LEASE = 0.6
QUICK = {"lease.renew": 0.15, "lease.duration": LEASE, "activation.late": 1, "activation.timeout": 1}
PODS, LEASES = ("", "pods"), ("coordination.k8s.io", "leases")
REMAINS = 69


def watcher(story: PodScene) -> Pod:
    """Start a sidecar that reclaims and has no app, and so no seat of its own."""
    return story.pod("watcher", QUICK, app=False)


def desk(story: PodScene) -> Pod:
    """Return a pod in which an operator may call commands."""
    return story.pod("desk", app=False, start=False)


def test_NO_THEFT_a_pod_that_lives_and_is_silent_for_ten_leases_keeps_its_seat(story: PodScene) -> None:  # noqa: N802
    """Its sidecar is stopped in its tracks: nobody touches the record, while the orphan beside it is reclaimed."""
    story.mock.put_key(story.key, seats=3)
    pod = story.ready_pod("icap-0", QUICK)
    pod.runs.process.signal(signal.SIGSTOP)
    silent = story.records()[pod.id]
    orphan = story.plant(story.gone("lost"))
    peer = watcher(story)
    until("the end of the orphan", lambda: story.taken() == {pod.id}, story=story.story)
    time.sleep(10 * LEASE)
    code, out, _ = story.operated(peer, "reclaim", "--once", more=QUICK)
    assert (code, "kept" in out) == (0, True)
    assert story.records() == {pod.id: silent}
    pod.runs.process.signal(signal.SIGCONT)
    until("a renewal", lambda: story.records()[pod.id]["version"] != silent["version"], story=story.story)
    assert (story.taken(), [it["deployment"] for it in story.mock.journal(story.fingerprint, "deactivation")]) == (
        {pod.id},
        [orphan],
    )


EDITS: dict[str, dict[str, object]] = {
    "another holder": {"spec": {"holderIdentity": "somebody"}},
    "no holder": {"spec": {"holderIdentity": ""}},
    "another uid": {"metadata": {"annotations": {f"{PREFIX}pod-uid": "somebody"}}},
    "another pod": {"metadata": {"annotations": {f"{PREFIX}pod": "nobody"}}},
    "another namespace": {"metadata": {"annotations": {f"{PREFIX}namespace": "default"}}},
}


@pytest.mark.parametrize("edit", EDITS)
def test_NO_THEFT_an_edited_record_takes_no_living_pods_seat(story: PodScene, edit: str) -> None:  # noqa: N802
    """Silent or not: nobody believes an end on the strength of what somebody wrote, and the owner writes it again."""
    story.mock.put_key(story.key, seats=2)
    pod = story.ready_pod("icap-0", QUICK)
    name, whole = story.records()[pod.id]["name"], story.records()[pod.id]
    peer = watcher(story)
    pod.runs.process.signal(signal.SIGSTOP)
    story.admin.patch("leases", name, EDITS[edit], story.namespace)
    time.sleep(3 * LEASE)
    code, out, err = story.operated(peer, "reclaim", "--once", more=QUICK)
    assert (code in (0, REMAINS), story.taken()) == (True, {pod.id}), out + err
    pod.runs.process.signal(signal.SIGCONT)
    same = ("holder", "pod-uid", "pod", "namespace", "owner-check", "phase")
    until(
        "the record as it was",
        lambda: [story.records()[pod.id].get(it) for it in same] == [whole.get(it) for it in same],
        story=story.story,
    )
    assert story.asked("deactivation") == 0
    story.until_ready(pod.runs)


def note(name: str, value: str | None) -> dict[str, object]:
    """Return the patch that changes one annotation, or removes it."""
    return {"metadata": {"annotations": {f"{PREFIX}{name}": value}}}


def label(name: str, value: str | None) -> dict[str, object]:
    """Return the patch that changes one label, or removes it."""
    return {"metadata": {"labels": {name: value}}}


DAMAGES: dict[str, dict[str, object]] = {
    **{f"another {it}": note(it, "9") for it in ("deployment-id", "server", "key-fingerprint", "format", "self")},
    **{f"no {it}": note(it, None) for it in ("deployment-id", "server", "key-fingerprint", "format")},
    **{f"another {it}": label(it, "other") for it in (PHASE, *MARKS)},
    **{f"no {it}": label(it, None) for it in (PHASE, *MARKS)},
    "no annotations": {"metadata": {"annotations": None}},
    "no labels": {"metadata": {"labels": None}},
}
"""What makes a Lease no seat record any more."""


def content(story: PodScene, name: str) -> dict[str, object]:
    """Return all of a Lease that does not change with each renewal."""
    lease = story.admin.get("leases", name, story.namespace)
    changes = (f"{PREFIX}writes", f"{PREFIX}open", f"{PREFIX}self")
    notes = {it: value for it, value in lease["metadata"].get("annotations", {}).items() if it not in changes}
    return {"labels": lease["metadata"].get("labels"), "notes": notes, "holder": lease["spec"].get("holderIdentity")}


def test_NO_LEAK_a_living_pod_mends_its_damaged_record(story: PodScene) -> None:  # noqa: N802
    """Whatever single thing somebody changes or removes: within a renewal or two it is the record that it was."""
    pod = story.ready_pod("icap-0", QUICK)
    name = story.records()[pod.id]["name"]
    whole = content(story, name)
    for damage, patch in DAMAGES.items():
        story.admin.patch("leases", name, patch, story.namespace)
        until(f"the end of: {damage}", lambda: content(story, name) == whole, story=story.story)
    until("a ready state", lambda: pod.runs.stage() == "active", story=story.story)
    assert (story.taken(), story.asked("deactivation")) == ({pod.id}, 0)


@pytest.mark.parametrize("damage", ["another format", "another self", "no labels"])
def test_NO_LEAK_a_restarted_sidecar_mends_its_damaged_record(story: PodScene, damage: str) -> None:  # noqa: N802
    """It remembers nothing and the list shows a stray: the Lease under its seat's name still names its pod."""
    pod = story.ready_pod("icap-0", QUICK)
    name = story.records()[pod.id]["name"]
    whole = content(story, name)
    pod.runs.process.end()
    story.admin.patch("leases", name, DAMAGES[damage], story.namespace)
    story.until_ready(pod.start(QUICK))
    until("the record as it was", lambda: content(story, name) == whole, story=story.story)
    story.expect_one_seat(pod.runs, pod.app)  # type: ignore[arg-type]
    assert story.asked("deactivation") == 0


@pytest.mark.parametrize("damage", ["another deployment-id", "no annotations", "no labels"])
def test_NO_LEAK_a_pod_that_ends_erases_its_damaged_record(story: PodScene, damage: str) -> None:  # noqa: N802
    """Damaged just before the end, so that no renewal mends it: the seat is free, and nothing is left."""
    pod = story.ready_pod("icap-0", QUICK)
    pod.delete(30)
    until("the deletion to be seen", lambda: pod.runs.status()["pod"]["deleting"], story=story.story)
    pod.runs.process.signal(signal.SIGSTOP)
    story.admin.patch("leases", story.records()[pod.id]["name"], DAMAGES[damage], story.namespace)
    pod.app.process.end()  # type: ignore[union-attr]
    pod.term()
    pod.runs.process.signal(signal.SIGCONT)
    assert pod.runs.process.wait() == 0
    assert (story.taken(), story.leases()) == (set(), [])


def test_a_record_that_no_pod_can_have_stops_no_scan(story: PodScene) -> None:
    """A name that makes another path, or none: it is told and left, and the orphan beside it is reclaimed."""
    story.mock.put_key(story.key, seats=6)
    orphan = story.plant(story.gone("lost"))
    odd = {story.plant(Owner(name, "uid", story.namespace)) for name in ("a%", "..", "a/../b")}
    odd.add(story.plant(Owner("abroad", "uid", "a/b")))
    running = watcher(story).runs
    until("the end of the orphan", lambda: orphan not in story.taken(), story=story.story)
    assert len(running.logged("left alone in the ledger")) == len(odd), "each once, however many scans"
    code, out, err = story.operated(desk(story), "list", more=QUICK)
    assert (code, out.count("that cannot be")) == (0, 4), out + err
    assert (story.taken(), set(story.records())) == (odd, odd)


def test_a_pod_that_lost_its_record_takes_it_again(story: PodScene) -> None:
    """Somebody deletes the Lease: it is written again, the same ID is asked for again, and no second seat is taken."""
    pod = story.ready_pod("icap-0", QUICK)
    story.admin.delete("leases", story.records()[pod.id]["name"], story.namespace)
    until("another record", lambda: story.phase(pod.id) == "active", story=story.story)
    assert pod.runs.logged("our seat record was taken away")
    until("another activation", lambda: story.asked("activation") == 2, story=story.story)
    story.expect_one_seat(pod.runs, pod.app)  # type: ignore[arg-type]
    assert story.asked("deactivation") == 0


def test_a_pod_that_is_deleted_does_not_take_its_record_again(story: PodScene) -> None:
    """It is on its way out: what somebody took away stays away, and the shutdown gives the seat back."""
    pod = story.ready_pod("icap-0", QUICK)
    pod.delete(30)
    until("the deletion to be seen", lambda: pod.runs.status()["pod"]["deleting"], story=story.story)
    story.admin.delete("leases", story.records()[pod.id]["name"], story.namespace)
    until("the loss to be seen", lambda: pod.runs.logged("our seat record was taken away"), story=story.story)
    time.sleep(5 * LEASE)
    assert (story.records(), story.asked("activation")) == ({}, 1)
    pod.app.process.end()  # type: ignore[union-attr]
    pod.term()
    assert pod.runs.process.wait() == 0
    assert (story.taken(), story.records()) == (set(), {})


def test_the_seat_of_a_pod_whose_successor_has_its_name(story: PodScene) -> None:
    """A StatefulSet makes the same name anew: the uid tells them apart, the successor frees its predecessor's seat."""
    pod = story.ready_pod("icap-0", QUICK)
    old = pod.id
    pod.kill()
    pod.vanish()
    successor = story.pod("icap-0", QUICK)
    story.until_ready(successor.runs)
    story.expect_one_seat(successor.runs, successor.app)  # type: ignore[arg-type]
    assert old not in story.taken()


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_counts_as_gone(story: PodScene, phase: str) -> None:
    """Its object may stay for days; after a lease of silence its seat is free."""
    pod = story.ready_pod("icap-0", QUICK)
    pod.kill()
    pod.report(phase=phase)
    watcher(story)
    story.until_taken()


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="waits half a minute; CI=true runs it")
def test_a_pod_on_a_lost_node_counts_as_gone_once_its_deletion_is_overdue(story: PodScene) -> None:
    """Its object stays for ever: half a minute after the end of its grace period its seat is free, and not before."""
    pod = story.ready_pod("icap-0", QUICK)
    pod.kill()
    began = time.monotonic()
    pod.delete(1)
    watcher(story)
    until("the free seat", lambda: story.taken() == set(), limit=60, story=story.story)
    assert time.monotonic() - began > 30
    assert story.admin.get("pods", "icap-0", story.namespace)["metadata"]["uid"] == pod.uid


BLIND: dict[str, tuple[Right, str]] = {
    "no look at pods": ((*PODS, "get"), "pods"),
    "no list of records": ((*LEASES, "list"), "leases"),
    "no claim": ((*LEASES, "update"), "leases"),
}


@pytest.mark.parametrize("lack", BLIND)
def test_a_reclaimer_without_a_right_releases_nothing_and_says_why(story: PodScene, lack: str) -> None:
    """The API server's own words reach the operator, the exit code tells that something remains, the seat stays."""
    right, word = BLIND[lack]
    orphan = story.plant(story.gone("lost"))
    pod = desk(story)
    story.allow(without=[right])
    code, out, err = story.operated(pod, "reclaim", "--once", more=QUICK)
    assert code == REMAINS
    assert "403" in out + err
    assert f'cannot {right[2]} resource "{word}"' in out + err
    assert "Traceback" not in err
    assert (story.taken(), set(story.records()), story.asked("deactivation")) == ({orphan}, {orphan}, 0)
    story.allow()
    code, out, _ = story.operated(pod, "reclaim", "--once", more=QUICK)
    assert (code, story.taken(), story.records()) == (0, set(), {}), out


def test_a_reclaimer_without_the_right_to_erase_says_so_and_is_harmless(story: PodScene) -> None:
    """The seat is released, the record stays: it is finished by whoever has the right."""
    orphan = story.plant(story.gone("lost"))
    pod = desk(story)
    story.allow(without=[(*LEASES, "delete")])
    code, out, err = story.operated(pod, "reclaim", "--once", more=QUICK)
    assert (code, 'cannot delete resource "leases"' in out + err) == (REMAINS, True)
    assert (story.taken(), set(story.records())) == (set(), {orphan})


SPARE: list[Right] = [
    (*PODS, "list"),
    (*PODS, "watch"),
    (*LEASES, "watch"),
    (*LEASES, "create"),
    ("", "events", "create"),
]


def test_a_reclaimer_does_without_the_rights_that_it_need_not_have(story: PodScene) -> None:
    """More owners than are looked at one by one, and no right to list pods: each is looked at all the same."""
    story.mock.put_key(story.key, seats=20)
    for number in range(10):
        story.plant(story.gone(f"lost-{number}"))
    uid = story.admin.create_pod(story.namespace, "silent")["metadata"]["uid"]
    story.admin.set_pod_status(story.namespace, "silent")
    silent = story.plant(Owner("silent", uid, story.namespace))
    pod = desk(story)
    story.allow(without=SPARE)
    code, out, err = story.operated(pod, "reclaim", "--once", more=QUICK)
    assert (code, story.taken(), set(story.records())) == (0, {silent}, {silent}), out + err


def test_a_running_sidecar_says_that_it_may_not_look(story: PodScene) -> None:
    """Its own seat is safe, others' are not touched, and its log and its metrics tell that nothing is scanned."""
    story.mock.put_key(story.key, seats=2)
    pod = story.ready_pod("icap-0", QUICK)
    story.allow(without=[(*PODS, "get")])
    orphan = story.plant(story.gone("lost"))
    told = until("its line", lambda: pod.runs.logged("the ledger was not scanned"), story=story.story)
    assert 'cannot get resource "pods"' in told[0]["why"]
    time.sleep(3 * LEASE)
    assert story.taken() == {pod.id, orphan}
    assert pod.runs.ready
    story.allow()
    until("the end of the orphan", lambda: story.taken() == {pod.id}, story=story.story)


def test_a_reclaimer_whose_own_pod_cannot_be_seen_releases_nothing(story: PodScene) -> None:
    """An empty view or another cluster: if not even our own pod is there, nobody's absence means anything."""
    orphan = story.plant(story.gone("lost"))
    pod = desk(story)
    pod.vanish()
    code, out, err = story.operated(pod, "reclaim", "--once", more=QUICK)
    assert code == REMAINS
    assert "own instance cannot be seen" in out + err
    assert (story.taken(), set(story.records())) == ({orphan}, {orphan})


def test_a_reclaimer_in_the_wrong_namespace_releases_nothing(story: PodScene) -> None:
    """A ledger without rights is refused in the API server's words, and so is a look at ourselves somewhere else."""
    orphan = story.plant(story.gone("lost"))
    pod = desk(story)
    code, out, err = story.operated(pod, "reclaim", "--once", more={**QUICK, "ledger.namespace": "default"})
    assert (code, 'in the namespace "default"' in out + err) == (REMAINS, True)
    code, out, err = story.operated(pod, "reclaim", "--once", more={**QUICK, "pod.namespace": "default"})
    assert code == REMAINS, out + err
    assert (story.taken(), set(story.records()), story.asked("deactivation")) == ({orphan}, {orphan}, 0)


def test_an_owner_in_a_namespace_that_must_not_be_looked_into_is_left_and_told(story: PodScene) -> None:
    """403 is not gone: without a Role there, the record stays, and ``list`` tells the reason."""
    abroad = story.plant(Owner("far", "no-such-uid", "kube-public"))
    pod = desk(story)
    code, out, err = story.operated(pod, "reclaim", "--once", more=QUICK)
    assert (code, "may not look at pods in the namespace kube-public" in out) == (REMAINS, True), out + err
    code, out, _ = story.operated(pod, "list", more=QUICK)
    assert (code, "kube-public" in out) == (0, True), out
    assert (story.taken(), set(story.records())) == ({abroad}, {abroad})
