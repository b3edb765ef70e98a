"""Design.md section 5: the routes of delivery, the sources of the deployment ID, and the modes."""

from dataclasses import replace

from sidecar.core.commands import Activate, ActivateByApp, AskApp, Deactivate, Erase, Upload
from sidecar.core.events import AppFailed, UploadDeclined
from sidecar.core.policy import IdSource, Route
from sidecar.core.reasons import AppTrouble
from sidecar.core.records import Phase
from sidecar.core.state import AppLost
from sidecar.core.view import Stage, describe
from tests.unit.core.driver import ID, KEY, OTHER_ID, Scene

NO_ID = ""


def test_route_product_delivers_by_the_apps_own_activation() -> None:
    """The server is asked first; then the app, while the record is open."""
    scene = Scene(route=Route.PRODUCT).begin()
    assert scene.asked(Upload) == []
    assert len(scene.asked(Activate)) == len(scene.asked(ActivateByApp)) == 1
    scene.run(2)
    stored = scene.stored()
    assert stored is not None
    assert (scene.stage, stored.phase, stored.open) == (Stage.ACTIVE, Phase.ACTIVE, False)


def test_route_product_an_activation_of_the_app_that_is_not_answered_leaves_the_record_open() -> None:
    """The app may have asked the server: its request counts like our own."""
    scene = Scene(route=Route.PRODUCT)
    scene.say(ActivateByApp, AppFailed, trouble=AppTrouble.BROKEN, message="500", sent=True)
    scene.begin()
    scene.run(3)
    stored = scene.stored()
    assert stored is not None
    assert stored.open
    scene.say(ActivateByApp, None)
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    scene.run(130)
    stored = scene.stored()
    assert stored is not None
    assert not stored.open


def test_a_delivery_under_way_is_awaited_when_its_seat_is_given_up() -> None:
    """The app restarts while it activates its former ID: that request may still take a seat."""
    scene = Scene(route=Route.PRODUCT, app_interval=2.0)
    scene.hold(ActivateByApp)
    scene.begin()
    scene.say(AskApp, None)
    under_way = scene.under_way(ActivateByApp)
    scene.stop()
    scene.run(1)
    scene.answer(under_way, AppFailed, trouble=AppTrouble.BROKEN, message="500", sent=True)
    scene.run(20)
    assert not scene.taken()
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.HANDOVER, True)


def test_route_auto_asks_who_is_there_before_the_app_is_told_to_activate_itself() -> None:
    """A container that was replaced declines the licence of the former ID; it must not take a seat unrecorded."""
    scene = Scene(route=Route.AUTO)
    scene.hold(Upload)
    scene.begin()
    scene.run(1)
    scene.app.deployment_id = OTHER_ID
    scene.answer(scene.under_way(Upload), UploadDeclined, message="Invalid license")
    scene.unhold(Upload)
    scene.run(5)
    assert ID not in {it.identity.deployment_id for it in scene.asked(ActivateByApp)}
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert scene.stage is Stage.ACTIVE


def test_route_app_leaves_the_activation_to_the_app() -> None:
    """The sidecar records when it sees the ID, watches, and releases."""
    scene = Scene(route=Route.APP)
    scene.app.deployment_id = None
    scene.begin()
    without = scene.stored(NO_ID)
    assert without is not None
    assert (without.phase, without.open) == (Phase.ACTIVATING, True), "written before anything is known"
    assert scene.view.started
    scene.app.deployment_id = ID
    scene.run(3)
    stored = scene.stored(ID)
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.ACTIVATING, True)
    assert scene.stored(NO_ID) is None, "its duty is done"
    scene.app.licensed = True
    scene.server.taken.add((KEY, ID))
    scene.run(20)
    stored = scene.stored(ID)
    assert stored is not None
    assert (scene.stage, stored.phase, stored.open) == (Stage.ACTIVE, Phase.ACTIVE, False)
    assert scene.asked(Activate) == []
    scene.stop()
    scene.run(1)
    assert not scene.taken(ID)
    assert (scene.records, scene.exit_code) == ({}, 0)


def test_route_app_a_restart_keeps_its_record_until_the_app_tells_its_id() -> None:
    """A record of our own must not be taken for an old one only because the app is slow."""
    first = Scene(route=Route.APP)
    first.app.licensed = True
    first.begin()
    stored = first.stored(ID)
    assert stored is not None
    second = Scene(stored, route=Route.APP)
    second.server.taken.add((KEY, ID))
    second.app.deployment_id = None
    second.begin()
    second.run(30)
    assert second.asked(Deactivate) == []
    second.app.deployment_id, second.app.licensed = ID, True
    second.run(20)
    assert second.stage is Stage.ACTIVE


def test_route_app_an_app_that_fails_before_its_id_was_seen_keeps_the_record() -> None:
    """It is reported if it is orphaned: the app may have activated itself."""
    scene = Scene(route=Route.APP)
    scene.app.trouble = AppTrouble.REFUSED
    scene.begin()
    scene.run(60)
    assert scene.stored(NO_ID) is not None
    assert scene.asked(Erase) == []


def test_source_pod_takes_a_seat_without_asking_the_app() -> None:
    """For apps without the REST API: started and ready mean that the seat is ours."""
    scene = Scene(id_source=IdSource.POD, given_id=OTHER_ID)
    scene.hold(Activate)
    scene.begin()
    assert not scene.view.started
    scene.unhold(Activate)
    scene.run(1)
    assert scene.asked(AskApp) == []
    assert scene.asked(Upload) == []
    assert (scene.view.started, scene.stage, scene.taken(OTHER_ID)) == (True, Stage.ACTIVE, True)


def test_source_fixed_says_when_the_app_has_another_id() -> None:
    """The seat is taken for the given ID; readiness requires that the app has it."""
    scene = Scene(id_source=IdSource.FIXED, given_id=OTHER_ID)
    scene.app.licensed = True
    scene.begin()
    scene.run(20)
    assert scene.taken(OTHER_ID)
    assert not scene.view.ready
    assert any("deployment_id.value" in fault for fault in scene.view.faults)


def test_a_refusal_of_the_api_key_is_said() -> None:
    """403 for ever: the adapter's sentence, which names the setting, reaches whoever looks."""
    scene = Scene()
    scene.app.trouble = AppTrouble.FORBIDDEN
    scene.begin()
    scene.run(60)
    assert scene.stage is Stage.WAITING_FOR_APP
    assert not scene.view.ready
    assert any("forbidden" in fault for fault in scene.view.faults)


def test_whose_fault_it_is_is_said_once() -> None:
    """Adapters begin their sentences with whom they asked."""
    scene = Scene()
    scene.app.trouble = AppTrouble.REFUSED
    scene.begin()
    scene.run(5)
    contact = scene.state.app.contact
    assert isinstance(contact, AppLost)
    app = replace(scene.state.app, contact=replace(contact, message="app: the connection was refused"))
    assert describe(replace(scene.state, app=app), scene.now).faults == ("app: the connection was refused",)
    assert scene.view.faults == (f"app: {contact.message}",)
