"""Rule 16: the heartbeat, the delivery again, and grace."""

from sidecar.core.commands import Activate, ActivateByApp, AskApp, Upload, Write
from sidecar.core.events import AppFailed, Delivered, ServerFailed
from sidecar.core.policy import Route
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, OTHER_ID, Scene


def test_rule_16_the_record_is_renewed_and_the_app_asked_every_interval() -> None:
    """15 s each; the activation server is left in peace."""
    scene = Scene().begin()
    began = scene.now
    scene.run(150)
    assert 9 <= len(scene.asked(Write, began + 0.1)) <= 11
    assert 9 <= len(scene.asked(AskApp, began + 0.1)) <= 11
    assert len(scene.asked(Activate)) == 1


def test_rule_16_the_server_is_asked_again_every_revalidation() -> None:
    """Optional: 0 is never."""
    asking, never = Scene(revalidate=1000.0).begin(), Scene(revalidate=0.0).begin()
    asking.run(3600)
    never.run(3600)
    assert 3 <= len(asking.asked(Activate)) - 1 <= 4
    assert len(never.asked(Activate)) == 1
    assert asking.stage is Stage.ACTIVE


def test_rule_16_ready_requires_that_the_id_is_the_records() -> None:
    """HONEST_READY: the seat of the container before this one is not this one's."""
    scene = Scene().begin()
    scene.hold(Activate)
    scene.app.deployment_id = OTHER_ID
    scene.app.licensed = True
    scene.run(20)
    assert not scene.taken(ID)
    assert not scene.view.ready


def test_rule_16_a_lost_licence_is_delivered_again() -> None:
    """The server is asked first, for the same pair; the licence it answers is what is delivered."""
    scene = Scene().begin()
    scene.app.licensed = False
    scene.run(16)
    assert len(scene.asked(Upload)) == 2
    assert scene.stage is Stage.ACTIVE
    assert scene.taken()


def test_rule_16_an_unreachable_activation_server_never_takes_down_a_licensed_app() -> None:
    """What the app itself reports as licensed keeps it ready, for as long as it says so."""
    scene = Scene(revalidate=60.0, grace=300.0).begin()
    scene.server_down()
    scene.run(86400)
    assert scene.stage is Stage.GRACE
    assert scene.view.ready
    assert scene.view.grace_ends_at is None


def test_rule_16_grace_begins_at_the_first_failed_check_and_ends() -> None:
    """An app that cannot be asked is believed for `heartbeat.grace`, and not longer."""
    scene = Scene(grace=30.0, unreachable_after=1000.0).begin()
    scene.say(AskApp, AppFailed, trouble=AppTrouble.SILENT, message="silent")
    scene.run(16)
    assert scene.stage is Stage.GRACE
    ends_at = scene.view.grace_ends_at
    assert ends_at is not None
    scene.run(ends_at - scene.now - 0.1)
    assert scene.view.ready
    scene.run(0.2)
    assert not scene.view.ready


def test_rule_16_there_is_no_grace_for_an_app_that_says_it_is_not_licensed() -> None:
    """Grace is for silence."""
    scene = Scene().begin()
    scene.say(Activate, ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.app.licensed = False
    scene.run(16)
    assert not scene.view.ready


def test_rule_16_an_upload_that_was_taken_and_did_not_license_leads_to_the_other_route() -> None:
    """Section 5: upload is unproven on ICAP Server. Asked every second for ten, then the app activates itself."""
    scene = Scene(route=Route.AUTO)
    scene.say(Upload, Delivered)
    scene.begin()
    scene.run(9)
    assert len(scene.asked(AskApp)) >= 9
    assert not scene.view.ready
    scene.run(10)
    assert len(scene.asked(ActivateByApp)) == 1
    assert scene.stage is Stage.ACTIVE


def test_rule_16_an_app_that_never_becomes_licensed_is_given_the_licence_ever_more_rarely() -> None:
    """BOUNDED_LOAD: the activation server is asked before each delivery."""
    scene = Scene(route=Route.UPLOAD)
    scene.say(Upload, Delivered)
    scene.begin()
    scene.run(3600)
    times = [at for at, _ in scene.times(Activate)]
    assert 5 <= len(times) <= 20
    assert times[-1] - times[-2] >= 290.0
    assert scene.taken(), "the seat is kept: it is the app that has a problem"


def test_rule_16_an_app_without_upload_activates_itself() -> None:
    """404 or "Invalid license": at once, and remembered."""
    scene = Scene(route=Route.AUTO)
    scene.app.takes_upload = False
    scene.begin()
    scene.run(5)
    assert len(scene.asked(ActivateByApp)) == 1
    scene.app.licensed = False
    scene.run(20)
    assert (len(scene.asked(Upload)), len(scene.asked(ActivateByApp))) == (1, 2)
    assert scene.stage is Stage.ACTIVE
