"""HONEST_READY once the record was taken away: whoever took it may have freed the seat, so it is grace and no more."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.commands import Activate, LookAtPod, Occasion, Write
from sidecar.core.facts import PodReport
from sidecar.core.policy import CLAIM_TIME, IdSource, Route
from sidecar.core.records import Claim
from sidecar.core.state import Held
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, LATE, Scene, record

GONE = {"gone": PodReport(""), "replaced by another of its name": PodReport("uid-of-the-next")}


def lose(scene: Scene, *, claimed: bool = False) -> float:
    """Let a peer take our record, and the seat with it, and the next renewal find out; return when it did."""
    if claimed:
        scene.put(record(claim=Claim(by="uid-them", at=0.0)))
    else:
        scene.records.clear()
    scene.server.taken.clear()
    scene.run(16)
    return scene.noticed_at(Occasion.RECORD_LOST)


def begin(**policy: Any) -> Scene:
    """Return a sidecar in Kubernetes that has its seat."""
    scene = Scene(watches_pod=True, **policy).begin()
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    return scene


@pytest.mark.parametrize("watches", [True, False], ids=["in Kubernetes", "elsewhere"])
def test_honest_ready_a_claimed_seat_is_grace_until_the_server_confirms_it(watches: bool) -> None:
    """The claimer frees the seat; for the time of its claim we ask nobody, and do not say that all is well."""
    scene = Scene(watches_pod=watches).begin()
    scene.run(5)
    lost_at = lose(scene, claimed=True)
    scene.run(lost_at + CLAIM_TIME - 1 - scene.now)
    assert not scene.taken()
    assert scene.view.ready
    assert scene.stage is Stage.GRACE
    assert scene.view.waiting_for == "the activation server to confirm the seat"
    assert "our seat record was taken away" in scene.view.why
    assert "our seat record was taken away; the seat is not certain" in scene.view.faults
    scene.run(2)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE
    assert scene.view.faults == ()


def test_honest_ready_a_claim_that_is_not_written_over_yet_is_told_as_one() -> None:
    """Before the look at our own pod nothing is written."""
    scene = begin()
    scene.hold(LookAtPod)
    lose(scene, claimed=True)
    assert scene.stage is Stage.GRACE
    assert "our seat record was claimed by another" in scene.view.why
    assert scene.view.waiting_for == "a look at our own pod"


def test_honest_ready_a_missing_record_is_grace_while_it_is_written_and_the_seat_asked_for() -> None:
    """Record first, then the seat: only its answer ends the grace."""
    scene = begin()
    scene.hold(Activate)
    lose(scene)
    assert scene.stage is Stage.GRACE
    assert scene.view.waiting_for == "the activation server to confirm the seat"
    scene.unhold(Activate)
    scene.run(1)
    assert scene.stage is Stage.ACTIVE


def test_honest_ready_what_a_missing_record_waits_for() -> None:
    """The ledger, and then the record."""
    scene = begin()
    scene.hold(LookAtPod)
    lose(scene)
    scene.unhold(LookAtPod)
    scene.hold(Write)
    scene.run(1)
    assert scene.view.waiting_for == "its record to be written again"
    scene.unhold(Write)
    scene.ledger_down()
    scene.run(1)
    assert scene.view.waiting_for == "the ledger"


@pytest.mark.parametrize("report", GONE.values(), ids=GONE)
def test_honest_ready_a_pod_that_is_gone_is_not_ready_for_ever(report: PodReport) -> None:
    """A sidecar that was frozen wakes up in a pod that was deleted by force: its seat was taken back for good."""
    scene = begin(grace=600.0)
    scene.pod = report
    lost_at = lose(scene)
    scene.run(lost_at + 599 - scene.now)
    assert scene.stage is Stage.GRACE
    assert scene.view.grace_ends_at == lost_at + 600
    assert "our own pod does not exist any more" in scene.view.why
    scene.run(2)
    assert not scene.view.ready
    assert scene.stage is Stage.ACTIVATING
    assert scene.view.why.startswith("our seat record was taken away, and the grace is over")


def test_honest_ready_a_pod_that_is_being_deleted_serves_to_its_end() -> None:
    """Nothing is taken back for it, and the app has its licence until it ends."""
    scene = begin(grace=60.0)
    scene.see_pod(deleting=True)
    lose(scene)
    scene.run(600)
    assert scene.stage is Stage.GRACE
    assert scene.view.waiting_for == "the end of our pod"


def test_honest_ready_an_app_that_cannot_be_asked_has_the_grace_and_no_more() -> None:
    """Source ``pod``: without a record, a seat and an app to ask there is nothing to be ready by."""
    scene = begin(id_source=IdSource.POD, given_id=ID, grace=60.0)
    scene.hold(Activate)
    lost_at = lose(scene)
    scene.run(lost_at + 59 - scene.now)
    assert scene.stage is Stage.GRACE
    scene.run(2)
    assert not scene.view.ready
    scene.unhold(Activate)
    scene.run(120)
    assert scene.stage is Stage.ACTIVE


def test_honest_ready_grace_counts_from_the_first_loss() -> None:
    """A record that is taken again and again makes the grace no longer."""
    scene = begin()
    scene.hold(Activate)
    first = lose(scene)
    assert scene.seat.lost_at == first
    scene.run(20)
    assert lose(scene) > first
    assert scene.seat.lost_at == first


def test_honest_ready_a_request_from_before_the_loss_confirms_nothing() -> None:
    """It was granted, and then the seat was freed: it is asked for again, not in a day."""
    scene = begin(revalidate=100.0)
    scene.hold(Activate)
    while not any(isinstance(it.command, Activate) for it in scene.flying):
        scene.run(1)
    launch = scene.set_aside(Activate)
    granted = scene.truth(launch)
    scene.records.clear()
    scene.server.taken.clear()
    scene.hold(Write)
    scene.run(15)
    scene.unhold(Write)
    scene.run(3)
    assert scene.noticed(Occasion.RECORD_LOST)
    scene.feed(granted)
    assert scene.stage is Stage.GRACE
    scene.unhold(Activate)
    scene.run(30)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE


@pytest.mark.parametrize("claimed", [True, False])
def test_honest_ready_route_app_has_its_record_again(claimed: bool) -> None:
    """There nobody but the app asks the server: the record is all that can be had again."""
    scene = begin_by_app()
    lose(scene, claimed=claimed)
    scene.run(1)
    assert isinstance(scene.seat.tenure, Held)
    assert scene.seat.lost_at is None
    assert scene.stage is Stage.ACTIVE


def begin_by_app() -> Scene:
    """Return a sidecar whose app has taken its seat by itself."""
    scene = Scene(route=Route.APP)
    scene.app.licensed = True
    scene.begin()
    scene.run(16)
    assert scene.stage is Stage.ACTIVE
    return scene


def test_honest_ready_an_adopted_claim_is_grace_too() -> None:
    """Our predecessor's record was claimed: whether its seat is still there is not known before the server says so."""
    scene = Scene(record(claim=Claim(by="uid-them", at=0.0)))
    scene.app.licensed = True
    scene.begin()
    scene.run(CLAIM_TIME - 1)
    assert scene.stage is Stage.GRACE
    scene.run(2)
    assert scene.stage is Stage.ACTIVE
    scene.run(LATE + 1)
    assert scene.stage is Stage.ACTIVE
