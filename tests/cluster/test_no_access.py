"""RECORD_FIRST on a real API server: who cannot write a record, or prove who he is, takes no seat and says why."""

from __future__ import annotations

import time

import pytest

from tests.cluster.control_plane.api import Object
from tests.cluster.roles import Right
from tests.cluster.stories.front import Front, trust
from tests.cluster.stories.scene import Pod, PodScene
from tests.process.processes import until

PODS, LEASES, EVENTS = ("", "pods"), ("coordination.k8s.io", "leases"), ("", "events")
ALL: list[Right] = [
    *((*PODS, verb) for verb in ("get", "list", "watch")),
    *((*LEASES, verb) for verb in ("get", "list", "watch", "create", "update", "delete")),
    (*EVENTS, "create"),
]
MISCONFIGURED = 78


def expect_no_seat(story: PodScene, pod: Pod, *words: str) -> None:
    """Wait for a line with these words; no seat was asked for, the pod is not ready but alive, and tells the reason."""

    def told() -> bool:
        return any(all(word in str(line.get("why")) for word in words) for line in pod.runs.lines())

    until(f"a line with {words}", told, story=story.story)
    time.sleep(1.0)
    assert (story.asked("activation"), story.taken()) == (0, set())
    assert (pod.runs.ready, pod.runs.get("/livez")[0], pod.runs.process.code) == (False, 200, None)
    assert "Traceback" not in pod.runs.process.printed()
    assert words[0] in pod.runs.get("/status")[1]


def expect_seldom(pod: Pod, event: str, *, most: int) -> None:
    """Expect that the same trouble was told a few times only."""
    assert 1 <= len(pod.runs.logged(event)) <= most, pod.scene.story()


def expect_recovery(story: PodScene, pod: Pod) -> None:
    """Expect that the pod gets its seat by itself now."""
    assert pod.app is not None
    until("its recovery", lambda: pod.runs.ready, limit=60, story=story.story)
    story.expect_one_seat(pod.runs, pod.app)


LACKS: dict[str, tuple[list[Right], tuple[str, ...]]] = {
    "all rights": (ALL, ("403", "cannot list resource")),
    "its own pod": ([(*PODS, "list"), (*PODS, "watch")], ("403", 'cannot list resource "pods"')),
    "a look at its pod": ([(*PODS, "get")], ("403", 'cannot get resource "pods"')),
    "the list of records": ([(*LEASES, "list")], ("403", 'cannot list resource "leases"')),
    "new records": ([(*LEASES, "create")], ("403", 'cannot create resource "leases"')),
}


@pytest.mark.parametrize("lack", LACKS)
def test_RECORD_FIRST_without_a_right(story: PodScene, lack: str) -> None:  # noqa: N802 - the invariant's name
    """The API server's words are told; no seat is taken; when the right comes, all goes on by itself."""
    rights, words = LACKS[lack]
    story.allow(without=rights)
    pod = story.pod()
    if lack == "a look at its pod":
        # The watch proves who we are: only what needs a look of its own waits for the right, and nothing is scanned.
        until("its line", lambda: pod.runs.logged("the ledger was not scanned"), story=story.story)
        assert words[1] in pod.runs.logged("the ledger was not scanned")[0]["why"]
    else:
        expect_no_seat(story, pod, *words)
    story.allow()
    expect_recovery(story, pod)


def test_RECORD_FIRST_with_a_token_that_is_not_accepted(story: PodScene) -> None:  # noqa: N802 - the invariant's name
    """401 is told as what it is, a few times; a token that is good is read without a restart."""
    pod = story.pod(start=False)
    good = story.mounted[pod.name].token
    story.mounted[pod.name].write("no-token-of-this-cluster")
    pod.start()
    expect_no_seat(story, pod, "does not accept the token of this service account (401)")
    expect_seldom(pod, "our own pod cannot be seen", most=5)
    story.mounted[pod.name].write(good)
    expect_recovery(story, pod)


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "403 Forbidden", "302 Found"])
def test_RECORD_FIRST_against_something_that_answers_html(  # noqa: N802 - the invariant's name
    story: PodScene, front: Front, status: str
) -> None:
    """A page is no answer, whatever its status: not "gone", not "empty". When the API server answers, all is well."""
    front.babble(status)
    pod = story.pod(start=False)
    trust(pod, front.authority)
    pod.start()
    expect_no_seat(story, pod, "is no Kubernetes API server: it sent text/html")
    expect_seldom(pod, "our own pod cannot be seen", most=6)
    assert front.served > 0
    front.babble(None)
    expect_recovery(story, pod)


def test_RECORD_FIRST_against_a_stranger(story: PodScene, front: Front) -> None:  # noqa: N802 - the invariant's name
    """The certificate is of another authority: not even the token is shown to it."""
    pod = story.pod()
    expect_no_seat(story, pod, "is not trusted")
    assert front.served == 0
    trust(pod, front.authority)
    expect_recovery(story, pod)


WRONG: dict[str, tuple[Object, str]] = {
    "no service account": ({"ledger.account_dir": "/nowhere"}, "is missing"),
    "another uid": ({"pod.uid": "0b1c3d5e-0000-4000-8000-000000000000"}, "take all three from the downward API"),
    "another name": ({"pod.name": "nobody"}, "does not exist"),
    "another container": ({"app.container": "icap"}, "app.container is icap, but the pod's containers are md-icapsrv"),
    "no uid": ({"pod.uid": ""}, "set POD_UID from the downward API"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_right_ends_with_78(story: PodScene, wrong: str) -> None:
    """No waiting makes it right: the sidecar ends and says what to write; no seat was asked for."""
    settings, words = WRONG[wrong]
    process = story.operate(story.pod(start=False), "run", more=settings).process
    assert process.wait() == MISCONFIGURED
    assert words in process.printed(), story.story()
    assert "Traceback" not in process.printed()
    assert (story.asked("activation"), story.taken(), story.records()) == (0, set(), {})
