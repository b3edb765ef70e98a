"""Rule 6: what counts as released; 404 only when it is seen twice, `late` apart; only our own server and keys."""

from dataclasses import replace

from sidecar.core.commands import Deactivate
from sidecar.core.records import Phase
from tests.unit.core.driver import ID, KEY, OTHER_ID, US, Scene, identity, record

LATE = 120.0


def test_rule_06_a_404_counts_when_it_is_seen_twice() -> None:
    """An ingress without a backend says 404 too."""
    scene = Scene(app_interval=2.0).begin()
    scene.server.taken.clear()
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    scene.run(10)
    stored = scene.stored(ID)
    assert stored is not None, "one 404 erases nothing"
    assert stored.unknown
    scene.run(LATE + 5)
    assert scene.stored(ID) is None
    looks = [at for at, it in scene.times(Deactivate) if it.identity.deployment_id == ID]
    assert len(looks) == 2
    assert looks[1] - looks[0] >= LATE


def test_rule_06_a_404_from_a_proxy_is_found_out_at_the_second_look() -> None:
    """The server was there all the time: the second request really frees the seat."""
    scene = Scene(app_interval=2.0).begin()
    scene.server.taken.clear()
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    scene.run(10)
    scene.server.taken.add((KEY, ID))
    scene.run(LATE + 5)
    assert not scene.taken(ID)
    assert scene.stored(ID) is None


def test_rule_06_a_404_at_the_stop_is_handed_over_for_its_second_look() -> None:
    """Whoever's turn it is then; the stop does not wait two minutes, and it is no failure."""
    scene = Scene().begin()
    scene.server.taken.clear()
    scene.stop()
    scene.run(1)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.unknown, scene.exit_code) == (Phase.HANDOVER, True, 0)


def test_rule_06_the_second_look_of_a_predecessor_is_finished_by_the_restart() -> None:
    """It counts from the restart's own first sight, not from a time that somebody wrote."""
    old = replace(record(deployment_id=OTHER_ID, owner=US), phase=Phase.HANDOVER, unknown=True)
    scene = Scene(old).begin()
    began = scene.now
    scene.run(LATE - 5)
    assert scene.stored(OTHER_ID) is not None
    scene.run(10)
    assert scene.stored(OTHER_ID) is None
    (look,) = [at for at, it in scene.times(Deactivate) if it.identity.deployment_id == OTHER_ID]
    assert look - began >= LATE


def test_rule_06_a_record_of_another_server_or_an_unknown_key_is_left_alone() -> None:
    """A forged record must not get our key sent elsewhere."""
    forged = replace(record(owner=US), identity=replace(identity(OTHER_ID, KEY), server="https://evil.example"))
    foreign = replace(record(owner=US), identity=identity(OTHER_ID, "unknown-key!"))
    scene = Scene(forged, foreign).begin()
    scene.run(600)
    assert scene.asked(Deactivate) == []
    assert {forged.identity.name, foreign.identity.name} <= set(scene.records)
