"""Rule 14 on a real API server: a start on a key whose seats belong to the dead, or to those who are about to go."""

from __future__ import annotations

import time

from tests.cluster.stories.scene import PodScene
from tests.process.processes import until

LEASE = 1.5


def stages(log: list[dict[str, object]]) -> list[object]:
    """Return the states that a log tells, in their order."""
    return [line["state"] for line in log if line["event"] == "state changed"]


def test_a_start_on_a_full_key_reclaims_the_seats_of_the_dead_first(story: PodScene) -> None:
    """Both seats belong to pods that are gone: the new pod waits, reclaims after a lease, and is active within seconds.

    No alert, no restart of the app: the state is ``waiting``, never ``refused``.
    """
    story.mock.put_key(story.key, seats=2)
    lost = {story.plant(story.gone(f"lost-{number}")) for number in range(2)}
    pod = story.pod("icap-0", {"refused.restart_app_after": 0.5})
    began = time.monotonic()
    until("the wait", lambda: pod.runs.stage() == "waiting", story=story.story)
    story.until_ready(pod.runs)
    took = time.monotonic() - began
    print(f"active {took:.1f} s after the start, lease {LEASE:g} s")  # noqa: T201 - a figure to see
    assert took < 4 * LEASE + 4
    until("one seat and one record", lambda: set(story.records()) == {pod.id}, story=story.story)
    assert story.taken() == {pod.id}
    assert not lost & story.taken()
    assert "refused" not in stages(pod.runs.lines())
    assert not pod.runs.logged("activation refused")
    assert "ActivationRefused" not in [reason for reason, _ in story.events(pod)]
    assert not (story.folder / "restart-app").exists()


def test_a_start_while_a_pod_of_the_key_is_deleted(story: PodScene) -> None:
    """A rolling update without surge: the new pod waits for the one that drains, and takes its seat as it goes."""
    old = story.ready_pod("icap-0")
    old.delete(30)
    new = story.pod("icap-1")
    until("the wait", lambda: new.runs.stage() == "waiting", story=story.story)
    time.sleep(2 * LEASE)  # however long it drains
    assert (story.taken(), new.runs.stage()) == ({old.id}, "waiting")
    assert old.app is not None
    old.app.process.end()
    old.term()
    assert old.runs.process.wait() == 0
    freed = time.monotonic()
    story.until_ready(new.runs)
    took = time.monotonic() - freed
    assert took < 4.0, story.story()
    story.expect_one_seat(new.runs, new.app)  # type: ignore[arg-type]
    assert "refused" not in stages(new.runs.lines())


def test_a_start_on_a_key_whose_seats_all_live_is_refused_and_healed(story: PodScene) -> None:
    """Nobody is going: that is a refusal, told in the server's words; a crash of the holder's pod ends it."""
    holder = story.ready_pod("icap-0")
    pod = story.pod("icap-1")
    until("the refusal", lambda: pod.runs.stage() == "refused", story=story.story)
    holder.kill()
    holder.vanish()
    story.until_ready(pod.runs)
    story.expect_one_seat(pod.runs, pod.app)  # type: ignore[arg-type]
