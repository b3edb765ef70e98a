"""Rule 15 in Kubernetes: before a lost record is written again, our pod must be there, and going to stay."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from sidecar.core import events
from sidecar.core.commands import Activate, ActivateByApp, Deactivate, LookAtPod, Occasion, Write
from sidecar.core.facts import PodReport
from sidecar.core.policy import CLAIM_TIME, IdSource, Route
from sidecar.core.records import Claim, Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, LATE, THEM, US, Scene, identity, record

CLAIM = Claim(by="uid-them", at=0.0)
IN_POD = replace(US, container_id="one")
ENDS = {
    "being deleted": {"deleting": True, "grace_left": 30.0},
    "ended or about to be evicted": {"ended": True},
    "gone": {"uid": ""},
    "replaced by another of its name": {"uid": "uid-of-the-next"},
}


def in_kubernetes(**policy: Any) -> Scene:
    """Return a sidecar that has its seat, in a pod that stays."""
    scene = Scene(watches_pod=True, **policy).begin()
    scene.run(5)
    assert scene.taken()
    return scene


def lose(scene: Scene, *, claimed: bool, until: float = 16.0) -> float:
    """Let a peer claim our record, or release and erase it, and the next renewal find out; return since when."""
    began = scene.now
    if claimed:
        scene.put(record(owner=IN_POD, claim=CLAIM))
    else:
        scene.records.clear()
        scene.server.taken.clear()
    scene.run(until)
    assert scene.noticed(Occasion.RECORD_LOST, began)
    return began


@pytest.mark.parametrize("claimed", [True, False])
def test_rule_15_the_pod_is_looked_at_before_the_record_is_written_again(claimed: bool) -> None:
    """A look of our own, newer than the loss; then the record, then the seat."""
    scene = in_kubernetes()
    scene.hold(LookAtPod)
    began = lose(scene, claimed=claimed)
    scene.run(60)
    lost_at = scene.noticed_at(Occasion.RECORD_LOST)
    assert [at for at, _ in scene.times(Write, lost_at) if at > lost_at] == []
    assert scene.asked(Activate, began) == []
    scene.unhold(LookAtPod)
    scene.run(CLAIM_TIME + 1)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.claim) == (Phase.ACTIVE, None)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("how", ENDS.values(), ids=ENDS)
def test_rule_15_a_pod_that_ends_takes_nothing_back(how: dict[str, Any], claimed: bool) -> None:
    """Whoever took the record was right: neither it nor the seat is touched any more, however long we still live."""
    scene = in_kubernetes()
    scene.pod = replace(scene.pod, **how)
    began = lose(scene, claimed=claimed)
    before = dict(scene.records)
    lost_at = scene.noticed_at(Occasion.RECORD_LOST)
    scene.run(600)
    assert scene.asked(LookAtPod, began)
    assert scene.records == before
    assert [at for at, _ in scene.times(Write, lost_at) if at > lost_at] == []
    assert scene.asked(Activate, began) == []


def test_rule_15_a_pod_that_ends_takes_nothing_new() -> None:
    """It is being deleted before it had a seat: nobody would be there to use it."""
    scene = Scene(watches_pod=True)
    scene.pod = replace(scene.pod, deleting=True)
    scene.begin()
    scene.run(600)
    assert scene.records == {}
    assert scene.server.taken == set()


def test_rule_15_a_pod_that_ends_keeps_what_it_has() -> None:
    """Its record is renewed for as long as the app serves."""
    scene = in_kubernetes()
    scene.see_pod(deleting=True, grace_left=600.0)
    began = scene.now
    scene.run(100)
    assert len(scene.asked(Write, began)) >= 6
    assert scene.taken()


def test_rule_15_a_deletion_between_the_record_and_the_request_is_noticed() -> None:
    """The record was being opened for the next request; by the time it is, the pod is going."""
    scene = Scene(watches_pod=True, revalidate=100.0).begin()
    scene.hold(Write)
    scene.run(101)
    launch = scene.under_way(Write)
    scene.see_pod(deleting=True, grace_left=30.0)
    asked = len(scene.asked(Activate))
    scene.answer(launch)
    scene.unhold(Write)
    scene.run(20)
    assert len(scene.asked(Activate)) == asked


def test_rule_15_a_look_without_an_answer_is_repeated_with_pauses() -> None:
    """The API server is down: nothing is taken back until it has told, and it is not stormed."""
    scene = in_kubernetes()
    scene.say(LookAtPod, events.PodUnanswered, message="no answer")
    began = lose(scene, claimed=True)
    scene.run(300)
    assert 5 <= len(scene.asked(LookAtPod, began)) <= 40
    stored = scene.stored()
    assert stored is not None
    assert stored.claim == CLAIM
    assert scene.noticed(Occasion.POD_UNSEEN)
    assert "our own pod: no answer" in scene.view.faults
    scene.say(LookAtPod, None)
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    assert scene.taken()
    assert scene.noticed(Occasion.POD_SEEN)


def test_rule_15_a_busy_servers_wish_is_respected_by_the_next_look() -> None:
    """As by a write: a server that is asked sooner is only busier."""
    scene = in_kubernetes()
    scene.say(LookAtPod, events.PodUnanswered, message="429", retry_after=20.0)
    began = lose(scene, claimed=False)
    scene.run(100)
    looks = [at for at, _ in scene.times(LookAtPod, began)]
    assert len(looks) >= 4
    assert all(later - earlier >= 20.0 for earlier, later in pairwise(looks))


def test_rule_15_a_look_that_the_watch_overtook_is_repeated() -> None:
    """Its answer may be older than what the watch has told meanwhile: it proves nothing."""
    scene = in_kubernetes()
    scene.hold(LookAtPod)
    began = lose(scene, claimed=False, until=11.0)
    stays = scene.pod
    look = scene.under_way(LookAtPod)
    scene.run(0.5)
    scene.see_pod(deleting=True, grace_left=30.0)
    scene.answer(look, events.PodLooked, report=stays)
    scene.unhold(LookAtPod)
    scene.run(60)
    assert len(scene.asked(LookAtPod, began)) == 2
    assert scene.records == {}
    assert scene.asked(Activate, began) == []


def test_rule_15_a_look_answered_long_after_its_deadline_proves_nothing() -> None:
    """It says how the pod was, not how it is."""
    scene = in_kubernetes()
    scene.hold(LookAtPod)
    lose(scene, claimed=False)
    look = scene.set_aside(LookAtPod)
    scene.run(6)
    assert scene.noticed(Occasion.POD_UNSEEN)
    known = scene.state.pod
    scene.feed(events.PodLooked(op=look.op, report=replace(scene.pod, deleting=True)))
    assert scene.state.pod == known


def test_rule_15_a_deletion_is_never_taken_back() -> None:
    """A watch that lags behind our own look tells of the pod as it was before."""
    scene = in_kubernetes()
    before = scene.pod
    scene.pod = replace(scene.pod, deleting=True, grace_left=30.0)
    began = lose(scene, claimed=False)
    scene.feed(events.PodSeen(report=before))
    scene.run(60)
    assert scene.records == {}
    assert scene.asked(Activate, began) == []


def test_rule_15_a_threat_of_eviction_may_pass() -> None:
    """DisruptionTarget is taken back when the eviction comes to nothing: then the seat is asked for again."""
    scene = in_kubernetes()
    scene.see_pod(ended=True)
    lose(scene, claimed=False)
    scene.run(60)
    assert not scene.taken()
    scene.see_pod(ended=False)
    scene.run(20)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE


def test_rule_15_a_record_that_somebody_edited_is_written_again() -> None:
    """It still has our uid (docs/ledger.md), so it is no loss: nothing is asked for, and it is whole again."""
    scene = in_kubernetes()
    began = scene.now
    scene.put(record(owner=replace(IN_POD, pod="")))
    scene.run(16)
    stored = scene.stored()
    assert stored is not None
    assert stored.owner == IN_POD
    assert scene.asked(Activate, began) + scene.asked(LookAtPod, began) == []
    assert scene.noticed(Occasion.RECORD_LOST, began) + scene.noticed(Occasion.RECORD_FOREIGN, began) == []
    assert scene.stage is Stage.ACTIVE


def test_rule_15_a_record_of_another_pod_is_no_loss_of_ours() -> None:
    """A cloned disk: rule 1 decides, and no look at our own pod could help."""
    scene = in_kubernetes()
    scene.put(record(owner=THEM))
    scene.run(60)
    assert scene.asked(LookAtPod) == []
    stored = scene.stored()
    assert stored is not None
    assert stored.owner == THEM


def test_rule_15_the_products_own_request_waits_for_the_look_too() -> None:
    """Route ``product``: a claimed record is not opened for it, and the app is not told to ask."""
    scene = Scene(watches_pod=True, route=Route.PRODUCT)
    scene.hold(ActivateByApp)
    scene.begin()
    scene.run(5)
    scene.answer(scene.under_way(ActivateByApp), events.AppFailed, trouble="broken", message="500")
    scene.hold(LookAtPod)
    scene.put(record(owner=IN_POD, claim=CLAIM, open=True))
    began = scene.now
    scene.run(60)
    assert scene.noticed(Occasion.RECORD_LOST, began)
    stored = scene.stored()
    assert stored is not None
    assert stored.claim == CLAIM
    assert len(scene.asked(ActivateByApp)) == 1
    scene.unhold(LookAtPod, ActivateByApp)
    scene.run(120)
    assert scene.stage is Stage.ACTIVE


def test_rule_15_route_app_does_not_write_a_lost_record_of_a_pod_that_ends() -> None:
    """The app took its seat itself; a peer gave it back because the pod was force-deleted."""
    scene = Scene(watches_pod=True, route=Route.APP)
    scene.app.licensed = True
    scene.server.activate(identity())
    scene.begin()
    scene.run(5)
    scene.pod = PodReport("")
    scene.records.clear()
    scene.run(120)
    assert scene.noticed(Occasion.RECORD_LOST)
    assert scene.records == {}


def test_rule_15_route_app_writes_the_first_record_even_of_a_pod_that_is_going() -> None:
    """The app may have taken a seat already: without a record nobody would give it back."""
    scene = Scene(watches_pod=True, route=Route.APP)
    scene.app.licensed = True
    scene.server.activate(identity())
    scene.pod = replace(scene.pod, deleting=True)
    scene.begin()
    scene.run(5)
    assert scene.stored() is not None


def test_rule_15_a_lost_record_of_a_seat_on_its_way_out_comes_first() -> None:
    """The app had failed, its record is gone too, and the app is back: first the record, then the seat."""
    scene = in_kubernetes()
    scene.server.taken.clear()
    scene.hold(Deactivate)
    scene.app_ends()
    scene.run(6)
    scene.records.clear()
    scene.hold(Write)
    scene.answer(scene.under_way(Deactivate))
    scene.answer(scene.under_way(Write))
    scene.answer(scene.under_way(Write), events.LedgerFailed, message="no answer")
    (debt,) = scene.state.debts
    assert debt.stored is None
    scene.app_is_back("two", ID)
    scene.unhold(Write, Deactivate)
    began = scene.now
    scene.run(10)
    assert scene.times(Write, began)[0][0] <= scene.times(Activate, began)[0][0]
    assert scene.stage is Stage.ACTIVE
    assert scene.taken()


def test_rule_15_a_claimed_seat_on_its_way_out_is_looked_for_before_it_is_taken_back() -> None:
    """It was to go, a peer has claimed it, and its app is back: the claim came from somebody who had looked."""
    scene = in_kubernetes()
    scene.hold(Write, Deactivate)
    scene.app_ends()
    scene.run(6)
    scene.put(record(owner=IN_POD, claim=CLAIM))
    scene.hold(LookAtPod)
    scene.app_is_back("two", ID)
    scene.run(1)
    scene.unhold(Write, Deactivate)
    scene.run(3)
    assert scene.under_way(LookAtPod)
    stored = scene.stored()
    assert stored is not None
    assert stored.claim == CLAIM
    scene.unhold(LookAtPod)
    scene.run(CLAIM_TIME + 1)
    assert scene.stage is Stage.ACTIVE
    assert scene.asked(Deactivate) == []


def test_rule_15_the_record_names_the_container_that_it_is_for() -> None:
    """Rule 1: it follows the container that the pod's status shows."""
    scene = in_kubernetes()
    stored = scene.stored()
    assert stored is not None
    assert stored.owner == IN_POD
    scene.app_is_back("two", ID)
    scene.run(5)
    stored = scene.stored()
    assert stored is not None
    assert stored.owner.container_id == "two"


def test_rule_15_a_successor_of_our_name_says_nothing_about_our_app() -> None:
    """Force-deleted and replaced while we still run: the other pod's container is not the one that we serve."""
    scene = in_kubernetes()
    assert scene.pod.app is not None
    scene.see_pod(uid="uid-of-the-next", app=replace(scene.pod.app, id="theirs", ended="exit"))
    scene.run(60)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE
    stored = scene.stored()
    assert stored is not None
    assert stored.owner.container_id != "theirs"


def test_rule_15_an_adopted_claim_is_taken_back_by_a_pod_that_stays() -> None:
    """The watch has just told that we are there; the seat is asked for when the claim has lapsed (rule 4)."""
    scene = Scene(record(claim=CLAIM), watches_pod=True)
    scene.app.licensed = True
    scene.begin()
    scene.run(CLAIM_TIME - 1)
    assert scene.asked(Activate) == []
    scene.run(2)
    assert scene.server.taken == {(KEY, ID)}
    scene.run(LATE + 1)
    assert scene.stage is Stage.ACTIVE


def test_rule_15_source_pod_takes_back_too() -> None:
    """Without a REST API the pod's status is all there is."""
    scene = in_kubernetes(id_source=IdSource.POD, given_id=ID)
    lose(scene, claimed=False)
    scene.run(5)
    assert scene.taken()
