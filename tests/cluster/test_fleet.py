"""Two hundred sidecars in two processes on a real API server: starts together, deaths without a word, outages.

Leases are scaled down, and everything that follows from them with it; judged is the target of design.md section 10,
scaled in the same way. In CI the hard death is seen at the default settings too. Elsewhere there are fewer of them, for
a machine that is busy otherwise cannot play two hundred pods; LICENSE_SIDECAR_TEST_FLEET is another number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from sidecar.wiring import pod_deployment_id
from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.control_plane.pods import APP, terminated
from tests.cluster.stories.fleet import Crew, Fleet, at_ease, percentile
from tests.cluster.stories.scene import PodScene

CI = os.environ.get("CI") == "true"
HALF = int(os.environ.get("LICENSE_SIDECAR_TEST_FLEET") or (200 if CI else 80)) // 2
RENEW, LEASE = 7.0, 28.0
OUTAGE_RENEW, OUTAGE_LEASE = 5.0, 18.0
GONE = "mdlicense_watch_restarts_total,reason=gone"
BUSY = 3.0
"""The load of each processor from which on times are told, not judged: others work here."""
CI_ONLY = pytest.mark.skipif(not CI, reason="takes three minutes; CI=true runs it")


def scaled(renew: float, lease: float) -> dict[str, float]:
    """Return settings with the default ones' proportions."""
    return {"lease.renew": renew, "lease.duration": lease, "reclaim.rate": round(30 * 60 / lease)}


@pytest.fixture
def fleet(story: PodScene) -> Iterator[Fleet]:
    """Return a fleet without sidecars, and a key with a seat for each."""
    story.mock.put_key(story.key, seats=2 * HALF)
    made = Fleet(story)
    yield made
    made.close()


def ids(*crews: Crew) -> set[str]:
    """Return the deployment IDs of these."""
    return {pod_deployment_id(uid) for crew in crews for uid in crew.pods.values()}


def started(fleet: Fleet, renew: float, lease: float) -> tuple[Crew, Crew]:
    """Start all at once and wait until each has its seat."""
    began = time.monotonic()
    one, two = (
        fleet.start([f"{name}-{number}" for number in range(HALF)], scaled(renew, lease)) for name in ("one", "two")
    )
    made = time.monotonic()
    fleet.until_active(one, two, limit=120)
    took = time.monotonic() - made
    print(f"{2 * HALF} sidecars active {took:.1f} s after the last pod was made ({made - began:.1f} s)")  # noqa: T201
    return one, two


def expect_one_seat_each(fleet: Fleet, *crews: Crew) -> None:
    """Expect that exactly these have a seat and a record, and that nobody ever asked for more than that."""
    scene = fleet.scene
    assert scene.taken() == set(scene.records()) == ids(*crews)


def expect_no_refusal(fleet: Fleet, *crews: Crew) -> None:
    """Expect that each asked for its own seat alone, and was never refused (a busy machine may ask twice)."""
    asked = fleet.scene.mock.journal(fleet.scene.fingerprint)
    assert {it["outcome"] for it in asked} == {"activated"}
    assert {it["deployment"] for it in asked} == ids(*crews)


@pytest.mark.parametrize(
    ("renew", "lease"), [(RENEW, LEASE), pytest.param(15.0, 60.0, marks=CI_ONLY)], ids=["scaled", "defaults"]
)
def test_half_of_two_hundred_die_without_a_word(fleet: Fleet, renew: float, lease: float) -> None:
    """All start together and are active; half are killed and force-deleted; their seats are free in time, no others.

    The target: median lease + 30 s and 95 % lease + 60 s at a lease of 60 s, so 1.5 and 2 leases.
    """
    scene, busy = fleet.scene, os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)
    one, two = started(fleet, renew, lease)
    expect_one_seat_each(fleet, one, two)
    expect_no_refusal(fleet, one, two)
    dead, living = ids(two), ids(one)
    died = fleet.vanish(two)
    at_ease("the seats of the dead", lambda: scene.taken() == living, limit=5 * lease, story=scene.story)
    at_ease("no record of the dead", lambda: set(scene.records()) == living, limit=lease, story=scene.story)
    answers = scene.mock.journal(scene.fingerprint, "deactivation")
    assert {it["deployment"] for it in answers} == dead
    freed = [scene.released_at(it) - died for it in dead]
    median, most = percentile(freed, 0.5), percentile(freed, 0.95)
    print(  # noqa: T201 - figures to see
        f"hard death to seat free, lease {lease:g} s: median {median:.1f} s, 95 % {most:.1f} s, "
        f"last {max(freed):.1f} s; {len(answers)} releases for {len(dead)} seats"
    )
    assert min(freed) >= lease - 2 * renew  # the last renewal was that long before, and was seen before the death
    assert busy or (median < 1.5 * lease, most < 2 * lease) == (True, True)
    expect_no_refusal(fleet, one, two)
    at_ease("the living to be well", lambda: one.states() == {"active"}, story=scene.story)


def test_an_outage_of_two_leases_and_a_compacted_etcd(fleet: Fleet, own_control_plane: ControlPlane) -> None:
    """Nobody loses a seat, nobody takes a second one; watches that are told 410 go on, and tell what happens next."""
    scene = fleet.scene
    one, two = started(fleet, OUTAGE_RENEW, OUTAGE_LEASE)
    gone = one.count(GONE) + two.count(GONE)
    own_control_plane.forget_versions(away=2 * OUTAGE_LEASE)
    before = {it["holder"]: it["version"] for it in scene.records().values()}
    assert (scene.taken(), len(before)) == (ids(one, two), 2 * HALF)

    def renewed() -> bool:
        return all(before[it["holder"]] != it["version"] for it in scene.records().values())

    at_ease("a renewal of each", renewed, limit=90, story=scene.story)
    at_ease("all to be well", lambda: one.states() | two.states() == {"active"}, limit=90, story=scene.story)
    # Some come back in the moment in which an API server that has just started forbids everything, and list anyway.
    at_ease("410 for most watches", lambda: one.count(GONE) + two.count(GONE) >= gone + HALF, story=scene.story)
    expect_one_seat_each(fleet, one, two)
    expect_no_refusal(fleet, one, two)
    assert scene.asked("deactivation") == 0
    name, uid = next(iter(two.pods.items()))
    scene.admin.set_pod_status(scene.namespace, name, containers={APP: {"state": terminated(1), "ready": False}})
    expected = ids(one, two) - {pod_deployment_id(uid)}
    at_ease("its seat", lambda: scene.taken() == expected, story=scene.story)
