"""Real sidecars against the mock's profile ``hostile``, with crashes and kills; then calm, and every account is right.

Seconds by default. ``HOSTILE_MINUTES=5`` rehearses the whole profile for so long, late requests of up to a minute and a
half included, and waits for as long as those may take afterwards.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from tests.process.processes import until
from tests.process.scene import App, Mock, Scene, Sidecar

MINUTES = float(os.environ.get("HOSTILE_MINUTES", "0"))
SEED = int(os.environ.get("HOSTILE_SEED", "1"))
PODS = 3


@pytest.fixture
def hostile(scene: Scene) -> Iterator[Scene]:
    """Give the scene a mock of its own, with one seat for each pod: a profile is about everybody."""
    shared = scene.mock
    scene.mock = Mock.start(scene.folder, "mock", "--seed", str(SEED))
    scene.mock.put_key(scene.key, seats=PODS)
    try:
        yield scene
    finally:
        scene.close()
        scene.mock.process.end()
        scene.mock = shared


def make_hostile(scene: Scene) -> None:
    """Choose the profile; a short run leaves out what takes effect long after the client gave up."""
    scene.mock.control("/profile", {"name": "hostile", "seed": SEED}, method="PUT")
    if not MINUTES:
        for rule in scene.mock.control("/faults")["faults"]:
            if rule["fault"] == "delay" and rule.get("most", 0) > 8:
                scene.mock.control(f"/faults/{rule['number']}", method="DELETE")


def pair(scene: Scene, number: int, apps: dict[int, App], sidecars: dict[int, Sidecar]) -> None:
    """Start a sidecar beside its app, which lives already or is started."""
    if number not in apps:
        apps[number] = scene.app(name=f"app-{number}")
    more = {"activation.late": 120} if MINUTES else {}
    sidecars[number] = scene.fork(apps[number], more, name=f"pod-{number}")


def test_hostile_server_leaves_nothing_wrong(hostile: Scene) -> None:
    """NO_LEAK, ONE_SEAT: whatever went wrong, in the calm each pod has one seat, and at the end there is none."""
    chance = random.Random(SEED)
    apps: dict[int, App] = {}
    sidecars: dict[int, Sidecar] = {}
    make_hostile(hostile)
    for number in range(PODS):
        pair(hostile, number, apps, sidecars)
    end = time.monotonic() + (60 * MINUTES or 4.0)
    while time.monotonic() < end:
        time.sleep((10.0 if MINUTES else 1.0) * chance.random())
        number = chance.randrange(PODS)
        match chance.randrange(3):
            case 0:
                apps[number].tell("restart", down=0.1, abrupt=chance.random() < 0.5)
            case 1:
                sidecars[number].process.end()
                pair(hostile, number, apps, sidecars)
            case _:
                sidecars[number].process.signal(signal.SIGTERM)
                sidecars[number].process.wait()
                pair(hostile, number, apps, sidecars)
    fired = sum(rule["fired"] for rule in hostile.mock.control("/faults")["faults"])
    hostile.mock.control("/profile", {"name": "calm"}, method="PUT")
    until(
        "one seat for each, and no other",
        lambda: (
            hostile.taken() == {app.deployment_id for app in apps.values()}
            and all(sidecar.ready for sidecar in sidecars.values())
        ),
        limit=300.0 if MINUTES else 30.0,
        story=hostile.story,
    )
    if MINUTES:
        time.sleep(100.0)  # as long as the latest request may still come
        assert hostile.taken() == {app.deployment_id for app in apps.values()}
    for sidecar in sidecars.values():
        sidecar.process.signal(signal.SIGTERM)
    codes = {sidecar.process.wait() for sidecar in sidecars.values()}
    # 69: no answer to the release within the budget; the record is handed over.
    assert codes <= {0, 69}
    if hostile.records():
        hostile.until_nothing_is_left()
    assert hostile.taken() == set()
    assert fired > 2
    sys.stdout.write(f"{len(hostile.mock.journal(hostile.fingerprint))} activations, {fired} faults\n")
