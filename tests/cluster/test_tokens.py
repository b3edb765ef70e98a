"""What rotates in a pod while it lives: the token of its service account, and the authority of its cluster."""

from __future__ import annotations

import time

from tests.cluster.control_plane.api import ApiError
from tests.cluster.stories.front import Front, trust
from tests.cluster.stories.scene import ACCOUNT, Pod, PodScene
from tests.process.processes import until


def bound_token(story: PodScene, holder: str) -> str:
    """Return a token that is refused once the pod of this name has ended."""
    story.admin.create_pod(story.namespace, holder, service_account=ACCOUNT)
    token = story.admin.token(story.namespace, ACCOUNT, pod=holder)
    story.secrets.append(token)
    return token


def revoke(story: PodScene, holder: str, token: str) -> None:
    """End the pod that a token is bound to, and wait until the API server refuses it (it remembers it for 10 s)."""
    story.admin.force_delete_pod(story.namespace, holder)

    def refused() -> bool:
        time.sleep(0.2)
        try:
            with story.admin.as_user(token) as user:
                user.list("leases", story.namespace)
        except ApiError as error:
            return error.code == 401
        return False

    until("a refusal of the token", refused)


def until_renewed(story: PodScene, pod: Pod) -> None:
    """Wait until the pod's record was renewed twice from now on: one renewal may have been under way."""
    for _ in range(2):
        before = story.records()[pod.id]["version"]
        until("a renewal", lambda before=before: story.records()[pod.id]["version"] != before, story=story.story)


def test_a_rotated_token_is_used_without_a_restart(story: PodScene) -> None:
    """The new one is written, then the old one is refused: no renewal fails. Refused too, it is healed by a third.

    Meanwhile the seat stays, the pod stays ready, and nothing is asked of the activation server.
    """
    pod = story.pod(start=False)
    tokens = {holder: bound_token(story, holder) for holder in ("first", "second")}
    third = story.mounted[pod.name].token
    story.mounted[pod.name].write(tokens["first"])
    pod.start({"activation.late": 60})
    story.until_ready(pod.runs)
    until("its record", lambda: story.phase(pod.id) == "active", story=story.story)
    story.mounted[pod.name].write(tokens["second"])
    revoke(story, "first", tokens["first"])
    until_renewed(story, pod)
    assert pod.runs.logged("the ledger does not work") == []
    revoke(story, "second", tokens["second"])
    told = until("the refusal", lambda: pod.runs.logged("the ledger does not work"), story=story.story)
    assert "does not accept the token of this service account (401)" in told[0]["why"]
    assert pod.runs.ready
    story.mounted[pod.name].write(third)
    until_renewed(story, pod)
    assert pod.runs.logged("the ledger works again")
    assert (story.asked("activation"), story.asked("deactivation"), story.taken()) == (1, 0, {pod.id})


def test_a_replaced_authority_is_trusted_without_a_restart(story: PodScene, front: Front) -> None:
    """The cluster's certificates are of another authority from now on: once the file says so, all goes on."""
    pod = story.pod(start=False)
    trust(pod, front.authority)
    pod.start()
    story.until_ready(pod.runs)
    until("its record", lambda: story.phase(pod.id) == "active", story=story.story)
    front.replace_authority()
    told = until("the distrust", lambda: pod.runs.logged("the ledger does not work"), story=story.story)
    assert "is not trusted" in told[0]["why"]
    assert pod.runs.ready
    trust(pod, front.authority)
    until_renewed(story, pod)
    until("a look at the pod", lambda: pod.runs.logged("our own pod is seen again"), story=story.story)
    assert (story.asked("deactivation"), story.taken()) == (0, {pod.id})


def test_a_stop_with_a_token_that_is_not_refreshed_any_more(story: PodScene) -> None:
    """In a pod's last seconds nothing is refreshed: without a token the seat is free all the same."""
    pod = story.ready_pod("icap-0", {"shutdown.budget": 3, "app.failure_grace": 30})
    deployment = pod.id
    story.mounted[pod.name].write("no-token-of-this-cluster")
    assert pod.app is not None
    pod.app.process.end()
    pod.term()
    assert pod.runs.process.wait() == 69  # the record could not be erased: the peers do
    assert story.taken() == set()
    assert story.phase(deployment) == "active"
    pod.vanish()
    story.until_nothing_is_left()
