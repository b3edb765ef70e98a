"""Rule 1: a seat is one (activation server, key, deployment ID); another live pod's is refused, never shared."""

from sidecar.core.commands import Activate, Deactivate, Occasion, ScanNow, Write
from sidecar.core.policy import IdSource, Route
from sidecar.core.records import Identity, Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, NEW_KEY, OTHER_ID, SERVER, THEM, Scene, identity, record


def test_rule_01_the_name_is_made_of_server_key_and_id() -> None:
    """Each of the three makes another record; a name is legal for Kubernetes and for files."""
    names = {
        Identity(server, key, deployment).name
        for server in (SERVER, "https://other.example")
        for key in (KEY, NEW_KEY)
        for deployment in (ID, OTHER_ID)
    }
    assert len(names) == 8
    assert all(name.removeprefix("seat-").isalnum() and name.islower() and len(name) == 45 for name in names)


def test_rule_01_an_id_of_another_live_pod_is_refused_with_a_clear_message() -> None:
    """A cloned disk: nothing is asked, nothing is written over, and it says whose the ID is."""
    scene = Scene(record(owner=THEM))
    scene.server.activate(identity())
    scene.begin()
    scene.run(300)
    assert scene.stage is Stage.REFUSED
    assert "icap-9" in scene.view.why
    assert not scene.view.ready
    assert scene.asked(Activate) == []
    assert scene.stored() == record(owner=THEM)
    assert scene.noticed(Occasion.RECORD_FOREIGN)


def test_rule_01_it_is_tried_again_four_times_a_lease_and_the_reclaimer_told() -> None:
    """The other one may be an orphan: then it goes, and the ID is ours."""
    scene = Scene(record(owner=THEM))
    scene.begin()
    scene.run(150)
    tried = len(scene.asked(Write))
    assert 9 <= tried <= 12
    assert len(scene.commanded(ScanNow)) == tried
    scene.records.clear()
    scene.run(16)
    assert scene.stage is Stage.ACTIVE


def test_rule_01_at_the_stop_the_other_pods_seat_is_left_alone() -> None:
    """Never shared, never released."""
    scene = Scene(record(owner=THEM))
    scene.server.activate(identity())
    scene.begin()
    scene.run(30)
    scene.stop()
    scene.run(20)
    assert scene.exit_code == 0
    assert scene.taken()
    assert scene.asked(Deactivate) == []
    assert scene.stored() == record(owner=THEM)


def test_rule_01_a_record_that_became_another_pods_takes_the_seat_with_it() -> None:
    """Somebody erased ours and another pod wrote its own: what we held is theirs, also when the stop comes."""
    scene = Scene(revalidate=0.0)
    scene.begin()
    scene.run(20)
    scene.put(record(owner=THEM))
    scene.run(16)
    assert scene.stage is Stage.REFUSED
    scene.stop()
    scene.run(20)
    assert scene.taken()
    assert scene.stored() == record(owner=THEM)
    assert scene.exit_code == 0


def test_rule_01_it_takes_the_id_back_when_that_pod_is_gone() -> None:
    """Without revalidation too: losing a record to another pod never ends the asking."""
    scene = Scene(revalidate=0.0)
    scene.begin()
    scene.run(20)
    scene.put(record(owner=THEM))
    scene.run(16)
    scene.server.deactivate(identity())
    scene.records.clear()
    scene.run(16)
    assert scene.stage is Stage.ACTIVE
    assert scene.taken()


def test_rule_01_a_grant_that_comes_after_the_record_became_another_pods_is_not_released() -> None:
    """The answer is about a seat that two pods name: the one with the record keeps it."""
    scene = Scene()
    scene.hold(Activate)
    scene.begin()
    launch = scene.set_aside(Activate)
    scene.put(record(owner=THEM))
    scene.run(12)  # overdue, and the next write meets the other pod's record
    scene.feed(scene.truth(launch))
    assert not scene.view.ready
    scene.stop()
    scene.run(20)
    assert scene.taken()
    assert scene.asked(Deactivate) == []


def test_rule_01_a_debt_whose_record_is_another_pods_is_dropped() -> None:
    """On its way out it was taken over: not ours to release any more."""
    scene = Scene(app_interval=2.0)
    scene.begin()
    scene.put(record(owner=THEM))
    scene.app.deployment_id = OTHER_ID
    scene.run(5)
    assert scene.taken(ID)
    assert scene.stored(ID) == record(owner=THEM)
    assert scene.state.debts == ()
    assert scene.taken(OTHER_ID)


def test_rule_01_route_app_says_so_too() -> None:
    """There nothing is ever asked, but the record is refused all the same, and tried again."""
    scene = Scene(record(owner=THEM), route=Route.APP, id_source=IdSource.APP)
    scene.begin()
    scene.run(60)
    assert scene.stage is Stage.REFUSED
    scene.records.clear()
    scene.run(16)
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.ACTIVATING


def test_rule_01_listing_sees_only_our_own_uid() -> None:
    """What others wrote is no part of our earlier life."""
    scene = Scene(record(OTHER_ID, owner=THEM))
    scene.begin()
    scene.run(10)
    assert scene.noticed(Occasion.ADOPTED) == []
    assert scene.stored(OTHER_ID) == record(OTHER_ID, owner=THEM)
