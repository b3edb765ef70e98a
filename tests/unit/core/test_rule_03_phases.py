"""Rule 3: activating, active, releasing, erased; and handover, the owner's last act."""

from sidecar.core.commands import Activate, ActivateByApp, Deactivate, Write
from sidecar.core.policy import IdSource, Route
from sidecar.core.reasons import AppTrouble
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, NEW_KEY, OTHER_ID, Scene, identity, record


def phases(scene: Scene, deployment_id: str = ID) -> list[tuple[Phase, bool]]:
    """Return the phases that were written, each change once, with what was said about open requests."""
    written = [it.record for it in scene.asked(Write) if it.record.identity.deployment_id == deployment_id]
    steps = [(it.phase, it.open) for it in written]
    return [it for number, it in enumerate(steps) if number == 0 or it != steps[number - 1]]


def test_rule_03_a_whole_life() -> None:
    """Every phase is written before what it announces, and nothing is left in the end."""
    scene = Scene().begin()
    scene.run(100)
    scene.stop()
    scene.run(20)
    assert phases(scene) == [(Phase.ACTIVATING, True), (Phase.ACTIVE, False), (Phase.RELEASING, False)]
    assert scene.records == {}
    assert scene.exit_code == 0


def test_rule_03_releasing_is_written_before_the_deactivation() -> None:
    """While the process lives there is time for that: whoever finds the record knows what happened."""
    scene = Scene(app_interval=2.0).begin()
    scene.hold(Write)
    scene.app.deployment_id = OTHER_ID
    scene.run(4)
    assert scene.asked(Deactivate) == []
    scene.unhold(Write)
    scene.run(5)
    assert len(scene.asked(Deactivate)) == 1


def test_rule_03_a_seat_that_was_never_asked_for_only_leaves_its_record() -> None:
    """Nothing was taken: nothing is given back."""
    scene = Scene(app_interval=2.0)
    scene.hold(Write)
    scene.begin()
    launch = scene.under_way(Write)
    scene.app.deployment_id = OTHER_ID
    scene.run(3)
    scene.answer(launch)
    scene.unhold(Write)
    scene.run(5)
    assert scene.asked(Deactivate) == []
    assert {it.identity.deployment_id for it in scene.asked(Activate)} == {OTHER_ID}
    assert set(scene.records) == {identity(OTHER_ID).name}


def test_rule_03_source_pod_needs_no_app() -> None:
    """The ID is derived from the pod; nobody is asked and nothing is delivered."""
    scene = Scene(id_source=IdSource.POD, given_id=ID)
    scene.app.trouble = AppTrouble.REFUSED
    scene.keys(None)
    assert not scene.view.started
    scene.begin()
    assert scene.stage is Stage.ACTIVE
    assert scene.view.started
    scene.run(1000)
    assert scene.stage is Stage.ACTIVE
    assert scene.taken()


def test_rule_03_source_fixed_waits_for_the_app_and_says_if_it_has_another_id() -> None:
    """A licence for an ID that the app does not have would be of no use."""
    scene = Scene(id_source=IdSource.FIXED, given_id=ID)
    scene.app.deployment_id = OTHER_ID
    scene.begin()
    scene.run(10)
    assert scene.taken(ID)
    assert not scene.view.ready
    assert any(OTHER_ID in it and ID in it for it in scene.view.faults)
    scene.app.deployment_id = ID
    scene.run(30)
    assert scene.stage is Stage.ACTIVE


def test_rule_03_route_app_records_watches_and_releases() -> None:
    """The app activates itself; a record without ID is written first, and goes when the ID is known."""
    scene = Scene(route=Route.APP, app_interval=2.0)
    scene.app.deployment_id = None
    scene.begin()
    nameless = scene.stored("")
    assert nameless is not None
    assert nameless.open
    assert scene.view.started
    assert not scene.view.ready
    scene.app.deployment_id = ID
    scene.run(3)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.ACTIVATING, True)
    assert scene.stored("") is None
    scene.server.activate(identity())
    scene.app.licensed = True
    scene.run(3)
    assert scene.stage is Stage.ACTIVE
    assert scene.asked(Activate) == []
    assert scene.asked(ActivateByApp) == []
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.ACTIVE, False)
    scene.stop()
    scene.run(20)
    assert scene.server.taken == set()
    assert scene.records == {}
    assert scene.exit_code == 0


def test_rule_03_route_app_the_record_without_id_outlives_a_silent_app() -> None:
    """It is all that is known of an app that may be activating itself."""
    scene = Scene(route=Route.APP)
    scene.app.trouble = AppTrouble.REFUSED
    scene.begin()
    scene.run(200)
    assert scene.stored("") is not None


def test_rule_03_route_app_a_seat_taken_just_before_the_end_is_given_back() -> None:
    """The app was never seen licensed, and yet it may have asked: released, and again after ``late``."""
    scene = Scene(route=Route.APP, app_interval=2.0).begin()
    scene.server.activate(identity())
    scene.app.deployment_id = OTHER_ID
    scene.run(4)
    assert not scene.taken(ID)
    scene.server.activate(identity())  # its last request was late
    scene.run(130)
    assert not scene.taken(ID)
    assert scene.stored(ID) is None


def test_rule_03_route_app_adopts_the_record_without_id() -> None:
    """A restart before the ID was known."""
    scene = Scene(record("", Phase.ACTIVATING, open=True), route=Route.APP)
    scene.app.deployment_id = None
    scene.begin()
    scene.run(100)
    assert set(scene.records) == {identity("").name}
    scene.app.deployment_id = ID
    scene.run(5)
    assert set(scene.records) == {identity(ID).name}


def test_rule_03_route_app_waits_for_the_id_before_it_judges_what_it_left() -> None:
    """One of the records may be the one of the ID that the app has not told yet."""
    scene = Scene(record(), route=Route.APP)
    scene.server.activate(identity())
    scene.app.deployment_id = None
    scene.begin()
    scene.run(30)
    assert scene.taken()
    assert scene.asked(Deactivate) == []
    scene.app.deployment_id, scene.app.licensed = ID, True
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    assert scene.server.taken == {(KEY, ID)}


def test_rule_03_route_app_a_running_app_goes_on_with_its_key() -> None:
    """It reads its key when it starts: the seat that it lives on is not taken away, the next ID has the new key."""
    scene = Scene(route=Route.APP, app_interval=2.0)
    scene.app.licensed = True
    scene.server.activate(identity())
    scene.begin()
    scene.keys(NEW_KEY, KEY)
    scene.run(60)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE
    scene.app.deployment_id = OTHER_ID
    scene.server.activate(identity(OTHER_ID, NEW_KEY))
    scene.run(5)
    assert set(scene.records) == {identity(OTHER_ID, NEW_KEY).name}
    assert scene.server.taken == {(NEW_KEY, OTHER_ID)}
