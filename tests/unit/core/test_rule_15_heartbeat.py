"""Rules 15 and 16: an own record that is claimed or missing, renewals, the look at the app, revalidation, and grace."""

import math
from itertools import pairwise
from typing import Any

import pytest

from sidecar.core import events
from sidecar.core.commands import Activate, ActivateByApp, AskApp, Deactivate, Occasion, Upload, Write
from sidecar.core.facts import AppReport, Licence
from sidecar.core.policy import IdSource, Mode, Route
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Claim, Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, LATE, OTHER_ID, THEM, Scene, identity, record

CLAIM = Claim(by="uid-them", at=0.0)


def test_rule_15_a_missing_record_is_written_again_and_the_seat_asked_for_again() -> None:
    """Whoever erased it has released the seat before."""
    scene = Scene().begin()
    scene.run(20)
    scene.records.clear()
    scene.server.taken.clear()
    scene.run(16)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE
    assert scene.noticed(Occasion.RECORD_LOST)


def test_rule_15_a_claimed_record_is_taken_back_and_asked_for_after_the_claim() -> None:
    """A reclaimer took us for dead: our record again at once, the seat once the claim cannot be acted on any more."""
    scene = Scene().begin()
    scene.run(20)
    scene.put(record(claim=CLAIM))
    scene.run(11)
    lost_at = scene.noticed_at(Occasion.RECORD_LOST)
    stored = scene.stored()
    assert stored is not None
    assert stored.claim is None
    scene.server.taken.clear()  # the claimer's deactivation
    scene.run(28)
    assert not scene.taken()
    scene.run(3)
    assert scene.taken()
    assert scene.times(Activate)[-1][0] >= lost_at + 30
    scene.server.taken.clear()  # or a late one
    scene.run(LATE + 1)
    assert scene.taken()


def test_rule_15_never_during_shutdown() -> None:
    """A record that is missing at the stop is not written again, and nothing is asked for."""
    scene = Scene(drain=60.0).begin()
    scene.run(10)
    scene.records.clear()
    scene.stop(90)
    scene.run(30)
    assert scene.records == {}
    assert len(scene.asked(Activate)) == 1
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(60)
    assert scene.exit_code is not None
    assert not scene.taken()


def test_rule_15_without_the_ledger_it_keeps_what_it_has() -> None:
    """Grace: ready for as long as the app says that it is licensed; nothing new is taken."""
    scene = Scene(revalidate=100.0).begin()
    scene.ledger_down()
    scene.run(1000)
    assert scene.stage is Stage.GRACE
    assert scene.view.ready
    assert "the ledger does not answer" in scene.view.why
    assert len(scene.asked(Activate)) == 1
    scene.ledger_up()
    scene.run(20)
    assert scene.stage is Stage.ACTIVE


def test_rule_16_the_record_is_renewed() -> None:
    """Every 15 seconds, seat or successor."""
    scene = Scene().begin()
    scene.run(150)
    renewed = [at for at, it in scene.times(Write, 1001) if it.over is not None]
    assert len(renewed) == 10


def test_rule_16_the_app_is_asked_and_must_have_our_id() -> None:
    """Ready requires that the ID is the record's."""
    scene = Scene().begin()
    scene.run(150)
    assert 9 <= len(scene.asked(AskApp, 1001)) <= 11
    scene.run(14)
    scene.hold(Activate)
    scene.app.deployment_id = OTHER_ID
    scene.run(5)
    assert scene.seat.identity.deployment_id == OTHER_ID
    assert not scene.view.ready


def test_rule_16_no_id_yet_is_not_another_id() -> None:
    """``null`` for a moment: not ready, and nothing is given back."""
    scene = Scene(app_interval=2.0).begin()
    scene.app.deployment_id = None
    scene.run(60)
    assert not scene.view.ready
    assert scene.asked(Deactivate) == []
    scene.app.deployment_id = ID
    scene.run(3)
    assert scene.stage is Stage.ACTIVE


def test_rule_16_revalidation_is_optional() -> None:
    """0 = never."""
    scene = Scene(revalidate=0.0).begin()
    scene.run(20_000)
    assert len(scene.asked(Activate)) == 1


def test_rule_16_revalidation_delivers_only_a_fresher_licence() -> None:
    """A licensed app is not bothered with the file that it has."""
    scene = Scene(revalidate=100.0).begin()
    scene.run(150)
    assert len(scene.asked(Activate)) == 2
    assert len(scene.asked(Upload)) == 1
    scene.say(Activate, events.Activated, licence=Licence(b"new", expires_at=2e9))
    scene.run(110)
    assert len(scene.asked(Upload)) == 2


def test_rule_16_a_lost_licence_is_delivered_again() -> None:
    """Through the activation server, so that a seat that was lost with it is taken again."""
    scene = Scene().begin()
    scene.run(60)
    scene.app.licensed = False
    scene.run(16)
    assert scene.noticed(Occasion.LICENSE_LOST)
    assert len(scene.asked(Activate)) == 2
    assert len(scene.asked(Upload)) == 2
    assert scene.stage is Stage.ACTIVE


def test_rule_16_an_adopted_seat_of_an_unlicensed_app_is_delivered_again() -> None:
    """The record says active, and the app says that it is not licensed."""
    scene = Scene(record())
    scene.server.activate(identity())
    scene.begin()
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    assert len(scene.asked(Upload)) == 1


def test_rule_16_a_licence_that_does_not_take_is_delivered_again_with_growing_pauses() -> None:
    """Uploaded, said yes, and still not licensed: take turns with the product's own activation, ever more rarely."""
    scene = Scene()
    scene.say(Upload, events.Delivered)
    scene.say(ActivateByApp, events.Delivered)
    scene.begin()
    scene.run(1200)
    uploads, products = len(scene.asked(Upload)), len(scene.asked(ActivateByApp))
    assert 2 <= uploads <= 10
    assert 2 <= products <= 10
    assert not scene.view.ready
    assert scene.stage is Stage.DELIVERING


def test_rule_16_the_pauses_begin_anew_once_it_was_licensed() -> None:
    """The next loss is told and mended at once."""
    scene = Scene()
    scene.say(Upload, events.Delivered)
    scene.begin()
    scene.run(200)
    assert scene.stage is Stage.ACTIVE, "the product's own activation did it"
    scene.run(100)
    scene.app.licensed = False
    scene.run(31)
    assert scene.noticed(Occasion.LICENSE_LOST)
    assert scene.stage is Stage.ACTIVE


def test_rule_16_an_app_that_does_not_tell_is_left_alone() -> None:
    """Neither licensed nor not: no second delivery."""
    scene = Scene()
    scene.say(Upload, events.Delivered)
    scene.app.licensed = None
    scene.begin()
    scene.run(600)
    assert len(scene.asked(Upload)) == 1
    assert not scene.view.ready


def test_rule_16_an_unreachable_activation_server_never_takes_down_a_licensed_app() -> None:
    """For days: what the app itself reports as licensed keeps it ready."""
    scene = Scene(revalidate=100.0, grace=3600.0).begin()
    scene.server_down()
    scene.run(10_000)
    assert scene.view.ready
    assert scene.stage is Stage.GRACE
    assert scene.view.grace_ends_at is None
    assert "does not answer" in scene.view.why


def test_rule_16_an_app_that_was_licensed_and_does_not_answer_is_in_grace() -> None:
    """From the first failed check on, for as long as grace lasts."""
    scene = Scene(grace=600.0).begin()
    scene.run(60)
    scene.app.trouble = AppTrouble.BROKEN
    scene.run(60)
    assert scene.stage is Stage.GRACE
    ends_at = scene.view.grace_ends_at
    assert ends_at is not None
    assert ends_at - scene.now < 600
    scene.run(600)
    assert not scene.view.ready
    assert scene.stage is Stage.WAITING_FOR_APP


def test_rule_16_no_grace_for_an_app_that_never_was_licensed() -> None:
    """Also while the activation server does not answer."""
    scene = Scene(record(), revalidate=100.0)
    scene.server.activate(identity())
    scene.say(Activate, events.ServerFailed, reason=Failure.NETWORK, message="cut")
    scene.begin()
    scene.run(10)
    assert not scene.view.ready
    scene.app.trouble = AppTrouble.FORBIDDEN
    scene.run(30)
    assert not scene.view.ready


def test_rule_16_no_grace_for_an_app_that_said_no_before_it_fell_silent() -> None:
    """The last word counts."""
    scene = Scene(app_interval=2.0).begin()
    scene.run(10)
    scene.server_down()
    scene.app.licensed = False
    scene.run(10)
    scene.app.trouble = AppTrouble.BROKEN
    scene.run(10)
    assert not scene.view.ready


@pytest.mark.parametrize(
    ("parts", "require", "ready"),
    [
        ((), ("license", "database"), True),
        ((("database", True),), ("license", "database"), True),
        ((("database", False),), ("license", "database"), False),
        ((("engines", False),), ("license", "database"), True),
        ((("engines", False),), ("license", "engines"), False),
    ],
)
def test_rule_16_which_parts_count(parts: tuple[tuple[str, bool], ...], require: tuple[str, ...], ready: bool) -> None:
    """An outage elsewhere must not empty the Service."""
    scene = Scene(require=require)
    scene.app.parts = parts
    scene.begin()
    assert scene.view.ready is ready
    assert ready or "not fit" in scene.view.why


@pytest.mark.parametrize("require", [("database",), ("license",), ()])
@pytest.mark.parametrize("licensed", [False, None])
@pytest.mark.parametrize("mode", [Mode.ONLINE, Mode.OBSERVE])
def test_honest_ready_the_licence_always_counts(mode: Mode, licensed: bool | None, require: tuple[str, ...]) -> None:
    """Whatever ``readiness.require`` lists: without an app that says it is licensed, nobody is ready."""
    scene = Scene(mode=mode, require=require)
    scene.say(Upload, events.Delivered)
    scene.app.licensed = licensed
    scene.begin()
    assert not scene.view.ready
    scene.app.licensed = True
    scene.run(20)
    assert scene.view.ready


def test_route_auto_falls_back_to_the_product() -> None:
    """The app takes no upload: it is told to activate the same ID itself, at once."""
    scene = Scene()
    scene.app.takes_upload = False
    scene.begin()
    scene.run(1)
    assert len(scene.asked(Upload)) == 1
    assert len(scene.asked(ActivateByApp)) == 1
    assert scene.stage is Stage.ACTIVE


def test_route_upload_goes_on_trying() -> None:
    """There is no other way, so it is tried once a minute."""
    scene = Scene(route=Route.UPLOAD)
    scene.app.takes_upload = False
    scene.begin()
    scene.run(600)
    assert 9 <= len(scene.asked(Upload)) <= 12
    assert scene.asked(ActivateByApp) == []
    assert scene.noticed(Occasion.DELIVERY_FAILED)


def test_route_product_opens_the_record_for_every_attempt() -> None:
    """A request of the app counts as open, and each one follows a write of its own."""
    scene = Scene(route=Route.PRODUCT)
    scene.say(ActivateByApp, events.AppFailed, trouble=AppTrouble.BROKEN, message="500", sent=True)
    scene.begin()
    scene.run(100)
    attempts = [at for at, _ in scene.times(ActivateByApp)]
    assert len(attempts) > 3
    for before, after in pairwise(attempts):
        assert [at for at, it in scene.times(Write) if before < at <= after and it.record.open]
    assert scene.asked(Upload) == []


def test_route_product_a_failed_delivery_may_still_be_late() -> None:
    """The app may be asking on our behalf: after its end the seat is released twice."""
    scene = Scene(route=Route.PRODUCT, app_interval=2.0)
    scene.say(ActivateByApp, events.AppFailed, trouble=AppTrouble.BROKEN, message="500", sent=True)
    scene.begin()
    scene.app.deployment_id = OTHER_ID
    scene.run(10)
    assert not scene.taken(ID)
    scene.server.activate(identity(ID))
    scene.run(LATE + 5)
    assert not scene.taken(ID)
    assert scene.stored(ID) is None


def unanswered(route: Route = Route.PRODUCT, *, until: float = 0.0, **app: Any) -> Scene:
    """Return a sidecar whose first delivery is not answered yet; when it began the app was as it is told here."""
    scene = Scene(route=route, app_interval=2.0)
    for name, value in app.items():
        setattr(scene.app, name, value)
    scene.say(Activate, events.Activated, licence=Licence(b"file", expires_at=until))
    scene.hold(Upload, ActivateByApp)
    scene.begin()
    scene.run(30)
    scene.set_aside(Upload if route is Route.UPLOAD else ActivateByApp)
    return scene


@pytest.mark.parametrize("route", [Route.PRODUCT, Route.UPLOAD])
@pytest.mark.parametrize("expires_at", [0.0, 500.0])
def test_a_delivery_that_was_not_answered_ends_as_soon_as_the_app_is_licensed_by_it(
    route: Route, expires_at: float
) -> None:
    """Asking again and again would keep the record open for ever."""
    scene = unanswered(route, until=expires_at)
    scene.server.activate(identity())
    scene.app.licensed, scene.app.expires_at = True, expires_at
    scene.run(2)
    assert scene.stage is Stage.ACTIVE
    assert len(scene.noticed(Occasion.DELIVERED)) == 1
    scene.run(LATE - 10)
    stored = scene.stored()
    assert stored is not None
    assert stored.open, "what was sent may still be under way (rule 4)"
    scene.run(20)
    stored = scene.stored()
    assert stored is not None
    assert not stored.open
    assert len(scene.asked(ActivateByApp) + scene.asked(Upload)) == 1


def test_a_delivery_of_a_fresher_licence_ends_when_the_app_says_that_it_has_it() -> None:
    """The app was licensed before, until an earlier day."""
    scene = unanswered(until=500.0, licensed=True, expires_at=400.0)
    scene.app.expires_at = 500.0
    scene.run(2)
    assert scene.noticed(Occasion.DELIVERED)
    assert len(scene.asked(ActivateByApp)) == 1


def test_an_app_that_lives_on_another_licence_still_gets_its_own() -> None:
    """It says nothing but what it said before the first try: that of a former key, whose seat is gone, would do so."""
    scene = unanswered(licensed=True)
    scene.run(10)
    assert len(scene.asked(ActivateByApp)) == 2


def test_route_product_whose_answer_comes_after_the_app_was_replaced() -> None:
    """Granted to an ID that is history: released again."""
    scene = Scene(route=Route.PRODUCT, app_interval=2.0)
    scene.hold(ActivateByApp)
    scene.begin()
    launch = scene.set_aside(ActivateByApp)
    scene.run(32)
    scene.app.deployment_id = OTHER_ID
    scene.run(3)
    scene.unhold(ActivateByApp)
    scene.feed(scene.truth(launch))
    scene.run(10)
    assert not scene.taken(ID)


def test_route_product_that_never_reached_the_app_leaves_nothing_open() -> None:
    """The connection was refused: nobody can be asking."""
    scene = Scene(route=Route.PRODUCT, app_interval=2.0)
    scene.say(ActivateByApp, events.AppFailed, trouble=AppTrouble.REFUSED, message="refused")
    scene.hold(ActivateByApp)
    scene.begin()
    launch = scene.set_aside(ActivateByApp)
    scene.app.deployment_id = OTHER_ID
    scene.feed(events.AppFailed(op=launch.op, trouble=AppTrouble.REFUSED, message="refused"))
    scene.run(5)
    assert scene.stored(ID) is None


def test_route_upload_in_flight_when_the_app_is_replaced() -> None:
    """Declined for an ID that is history: nothing follows."""
    scene = Scene(app_interval=2.0)
    scene.hold(Upload)
    scene.begin()
    launch = scene.set_aside(Upload)
    scene.run(32)
    scene.app.deployment_id = OTHER_ID
    scene.run(3)
    scene.unhold(Upload)
    scene.feed(events.UploadDeclined(op=launch.op, message="Invalid license"))
    scene.run(10)
    assert scene.stage is Stage.ACTIVE


def test_mode_observe_only_looks() -> None:
    """No records, no requests; ready = the app is licensed."""
    scene = Scene(mode=Mode.OBSERVE)
    scene.app.licensed = True
    scene.begin()
    scene.run(1000)
    assert scene.stage is Stage.OBSERVING
    assert scene.view.ready
    assert scene.asked(Write) == []
    assert scene.asked(Activate) == []
    assert scene.view.started
    scene.app.licensed = False
    scene.run(16)
    assert not scene.view.ready
    assert scene.stage is Stage.WAITING_FOR_APP
    scene.stop()
    assert scene.exit_code == 0


def test_mode_off_does_nothing() -> None:
    """Ready, started, and silent."""
    scene = Scene(mode=Mode.OFF)
    scene.begin()
    scene.run(1000)
    assert scene.stage is Stage.OFF
    assert scene.view.ready
    assert scene.flying == []
    assert scene.wake_at == math.inf
    scene.stop()
    assert scene.exit_code == 0


def test_rule_16_source_pod_is_ready_with_the_seat_alone() -> None:
    """There is no app to ask; an outage later is grace."""
    scene = Scene(id_source=IdSource.POD, given_id=ID, revalidate=100.0).begin()
    assert scene.view.ready
    scene.server_down()
    scene.run(200)
    assert scene.stage is Stage.GRACE
    assert scene.view.ready


def test_rule_16_a_foreign_record_is_no_ground_for_grace() -> None:
    """A licensed clone of another pod while the server is down: not ours, not ready."""
    scene = Scene()
    scene.server_down()
    scene.app.licensed = True
    scene.begin()
    scene.put(record(phase=Phase.ACTIVE, owner=THEM))
    scene.run(30)
    assert scene.stage is Stage.REFUSED
    assert not scene.view.ready


def test_rule_16_an_answer_of_an_earlier_question_does_not_bring_an_old_id_back() -> None:
    """The slow answer names the container before."""
    scene = Scene(app_interval=2.0).begin()
    scene.hold(AskApp)
    scene.run(3)
    slow = scene.set_aside(AskApp)
    scene.run(12)
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    scene.unhold(AskApp)
    scene.run(20)
    assert scene.stage is Stage.ACTIVE
    scene.feed(events.AppSeen(op=slow.op, report=AppReport(ID, licensed=True)))
    scene.run(5)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert ID not in {it.identity.deployment_id for it in scene.asked(Activate, 1005)}


def test_rule_16_the_failure_of_an_earlier_question_says_nothing_new() -> None:
    """It counted as unanswered already."""
    scene = Scene(app_interval=2.0).begin()
    scene.hold(AskApp)
    scene.run(3)
    slow = scene.set_aside(AskApp)
    scene.run(12)
    scene.unhold(AskApp)
    scene.run(5)
    scene.feed(events.AppFailed(op=slow.op, trouble=AppTrouble.REFUSED, message="refused"))
    assert scene.stage is Stage.ACTIVE


def test_rule_16_a_slow_app_is_heard_all_the_same() -> None:
    """Every answer comes after its deadline, but it comes: better than none."""
    scene = Scene()
    scene.hold(AskApp)
    scene.begin()
    slow = scene.set_aside(AskApp)
    scene.run(12)
    scene.feed(scene.truth(slow))
    scene.run(1)
    assert scene.asked(Activate)
