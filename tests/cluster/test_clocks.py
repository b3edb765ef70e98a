"""Clocks of pods that are wrong by hours, either way, on a real API server: nobody's time but one's own decides."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sidecar.wiring import pod_deployment_id
from tests.cluster.stories.fleet import Fleet, at_ease
from tests.cluster.stories.scene import PodScene

LEASE = 3.0
SETTINGS = {"lease.renew": 0.75, "lease.duration": LEASE, "activation.late": 9}
HOURS = 3600.0
CLOCKS = (-26 * HOURS, -2 * HOURS, 0.0, 2 * HOURS, 26 * HOURS)


@pytest.fixture
def fleet(story: PodScene) -> Iterator[Fleet]:
    """Return a fleet without sidecars, and a key with seats enough."""
    story.mock.put_key(story.key, seats=2 * len(CLOCKS))
    made = Fleet(story)
    yield made
    made.close()


def test_clocks_that_are_wrong_by_hours_change_nothing(fleet: Fleet) -> None:
    """Every kind of clock beside every other: all are active; of the dead each is reclaimed, of the living none is.

    Nobody is taken for dead because his record looks old, and no dead one lives on because his looks new.
    """
    scene = fleet.scene
    living, doomed = (
        fleet.start([f"{kind}-{number}" for number in range(len(CLOCKS))], SETTINGS, ahead=CLOCKS)
        for kind in ("living", "doomed")
    )
    fleet.until_active(living, doomed)
    written = [it["renewed"] for it in scene.records().values()]
    assert max(written) - min(written) > 50 * HOURS  # so wrong are the times that the others read
    kept = {pod_deployment_id(uid) for uid in living.pods.values()}
    time.sleep(2 * LEASE)  # the living scan each other meanwhile
    assert scene.asked("deactivation") == 0
    died = fleet.vanish(doomed)
    at_ease("the seats of the dead", lambda: scene.taken() == kept, limit=20 * LEASE, story=scene.story)
    at_ease("no record of the dead", lambda: set(scene.records()) == kept, story=scene.story)
    answers = scene.mock.journal(scene.fingerprint, "deactivation")
    assert not {it["deployment"] for it in answers} & kept
    first = min(it["at"] for it in answers) - died
    assert (
        first > LEASE - 2 * SETTINGS["lease.renew"]
    )  # a lease after the last renewal that was seen, by one's own clock
    time.sleep(2 * LEASE)
    assert (scene.taken(), living.states()) == (kept, {"active"})
    assert scene.asked("activation") == 2 * len(CLOCKS)
