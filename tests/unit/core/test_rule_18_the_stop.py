"""Rule 18: a SIGTERM to the sidecar is not the end of the pod; what stays in doubt is left to the reclaimers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core import commands, events
from sidecar.core.commands import Activate, AskApp, Deactivate, Erase, Knock, LookAtPod, Occasion, Write
from sidecar.core.facts import AppContainer, PodReport
from sidecar.core.policy import POD_LOOK, IdSource
from sidecar.core.reasons import AppEnd, AppTrouble, Cause
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, NEW_KEY, OTHER_ID, US, Scene, identity, record

ENDS: dict[str, dict[str, Any]] = {
    "being deleted": {"deleting": True, "grace_left": 25.0},
    "being deleted, no clock": {"deleting": True},
    "terminal or a DisruptionTarget": {"ended": True},
    "gone": {"uid": ""},
    "replaced": {"uid": "uid-of-the-next"},
}


def in_kubernetes(**policy: Any) -> Scene:
    """Return a sidecar that has its seat."""
    scene = Scene(watches_pod=True, **policy).begin()
    scene.run(5)
    assert scene.taken()
    return scene


def exit_at(scene: Scene) -> float:
    """Return when the exit was commanded."""
    (at,) = scene.commanded(commands.Exit)
    return at


def assert_left(scene: Scene, since: float) -> None:
    """Check that the seat was left as it is, without a word to anybody."""
    assert scene.exit_code == 0
    assert scene.taken()
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.ACTIVE
    assert scene.asked(Activate, since) + scene.asked(Deactivate, since) + scene.asked(Erase, since) == []
    assert scene.noticed(Occasion.SEAT_LEFT)


def assert_released(scene: Scene) -> None:
    """Check that the seat was given back."""
    assert scene.exit_code == 0
    assert scene.server.taken == set()
    assert scene.records == {}
    assert scene.asked(Deactivate)[-1].cause is Cause.SHUTDOWN


def test_rule_18_a_pod_that_stays_keeps_its_seat() -> None:
    """A failed probe of the sidecar: the record stays ``active``, exit 0, and nobody is asked."""
    scene = in_kubernetes()
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run()
    assert exit_at(scene) == stopped_at
    assert_left(scene, stopped_at)


def test_rule_18_the_successor_adopts_without_a_request() -> None:
    """The next incarnation finds the record and the app, and is active at once."""
    scene = in_kubernetes()
    scene.stop(release=None)
    scene.run()
    successor = Scene(*(it.record for it in scene.records.values()), watches_pod=True)
    successor.server, successor.app = scene.server, scene.app
    successor.begin()
    successor.run(1)
    assert successor.stage is Stage.ACTIVE
    assert successor.asked(Activate) + successor.asked(Deactivate) == []


@pytest.mark.parametrize("told", [True, False], ids=["known by the watch", "found out now"])
@pytest.mark.parametrize("how", ENDS.values(), ids=ENDS)
def test_rule_18_a_pod_that_ends_gives_its_seat_back_at_once(how: dict[str, Any], told: bool) -> None:
    """The app has ended already: no pause, no second thought."""
    scene = in_kubernetes()
    if told:
        scene.see_pod(**how)
    scene.pod = replace(scene.pod, **how)
    scene.app.trouble = AppTrouble.REFUSED
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run()
    assert exit_at(scene) == stopped_at
    assert_released(scene)
    assert bool(scene.asked(LookAtPod)) is not told, "what the watch says about an end is enough"


def test_rule_18_pod_and_port_are_asked_at_once_and_together() -> None:
    """Nothing else is begun meanwhile, and it is 300 ms at most."""
    scene = in_kubernetes()
    scene.hold(LookAtPod, Knock)
    stopped_at = scene.now
    scene.stop(release=None)
    for kind in (LookAtPod, Knock):
        assert scene.under_way(kind).deadline == stopped_at + POD_LOOK
    assert scene.stage is Stage.STOPPING
    scene.run(POD_LOOK)
    assert exit_at(scene) == stopped_at + POD_LOOK
    assert_left(scene, stopped_at)


def test_rule_18_an_app_that_still_serves_is_waited_for() -> None:
    """A plain container gets SIGTERM together with the app: the seat goes when the app does."""
    scene = in_kubernetes()
    scene.pod = replace(scene.pod, deleting=True, grace_left=30.0)
    stopped_at = scene.now
    scene.stop(20, release=None)
    scene.run(7)
    assert scene.taken()
    assert scene.exit_code is None
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(1)
    assert exit_at(scene) <= stopped_at + 8
    assert_released(scene)


def drained(scene: Scene) -> float:
    """Delete the pod of a plain container, let the app close its REST port and serve on; return when it was told."""
    scene.pod = replace(scene.pod, deleting=True, grace_left=60.0)
    stopped_at = scene.now
    scene.stop(50, release=None)
    scene.run(3)
    scene.app.trouble, scene.app.lingers = AppTrouble.REFUSED, True
    scene.run(10)
    assert scene.taken()
    assert scene.exit_code is None
    return stopped_at


def test_no_theft_an_app_that_serves_on_behind_a_closed_rest_port_keeps_its_seat() -> None:
    """Rule 19, plain container: it still has connections, so it has not ended; the seat goes when it has."""
    scene = in_kubernetes(drain=30.0)
    stopped_at = drained(scene)
    scene.app.lingers = False
    scene.run(1)
    assert exit_at(scene) <= stopped_at + 14.5
    assert_released(scene)


def test_rule_19_what_holds_connections_for_ever_ends_with_the_drain() -> None:
    """A container of somebody else in the pod, a mesh's say, looks like an app that serves: the drain is the end."""
    scene = in_kubernetes(drain=30.0)
    stopped_at = drained(scene)
    scene.run(20)
    assert stopped_at + 30 <= exit_at(scene) <= stopped_at + 31
    assert_released(scene)


def test_no_theft_a_port_that_was_closed_before_the_stop_is_looked_at_again() -> None:
    """Plain container: the app has come back since the last look, and serves until it ends."""
    scene = in_kubernetes(drain=30.0)
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(20)
    scene.app.trouble = None
    scene.see_pod(deleting=True, grace_left=60.0)
    stopped_at = scene.now
    scene.stop(50, release=None)
    scene.run(3)
    assert scene.taken()
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(1)
    assert exit_at(scene) <= stopped_at + 4.5
    assert_released(scene)


def test_rule_18_after_the_apps_end_all_of_the_time_that_is_left_is_used() -> None:
    """The activation server needs six seconds: they are there, for the grace period is not over."""
    scene = in_kubernetes()
    scene.pod = replace(scene.pod, deleting=True, grace_left=30.0)
    scene.stop(20, release=None)
    scene.run(5)
    scene.app.trouble = AppTrouble.REFUSED
    scene.hold(Deactivate)
    scene.run(7)
    assert scene.exit_code is None
    scene.unhold(Deactivate)
    scene.run()
    assert_released(scene)


def test_rule_18_an_app_that_does_not_end_loses_its_seat_in_the_last_moment() -> None:
    """The grace period ends for both: what is left of it is enough to give the seat back."""
    scene = in_kubernetes()
    scene.pod = replace(scene.pod, deleting=True, grace_left=10.0)
    stopped_at = scene.now
    scene.stop(20, release=None)
    scene.run(7)
    assert scene.taken()
    scene.run(3)
    assert stopped_at + 7 < exit_at(scene) < stopped_at + 10
    assert_released(scene)


def test_rule_18_what_is_left_of_the_grace_period_cuts_the_deadline() -> None:
    """BOUNDED_STOP: SIGKILL comes when the pod's time is over, whatever our own budget says."""
    scene = in_kubernetes()
    scene.see_pod(deleting=True, grace_left=8.0)
    scene.run(3)
    scene.app.trouble = AppTrouble.REFUSED
    scene.hold(Deactivate)
    stopped_at = scene.now
    scene.stop(20, release=None)
    scene.run(20)
    assert stopped_at + 4 < exit_at(scene) < stopped_at + 5
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.HANDOVER
    assert scene.exit_code == 69


@pytest.mark.parametrize("late", [0.1, 1.0], ids=["in time", "overdue"])
def test_rule_18_a_grace_period_that_is_told_late_cuts_the_deadline_too(late: float) -> None:
    """The refused port was enough to begin with; how much time there is, the API server tells after that."""
    scene = in_kubernetes()
    scene.app.trouble = AppTrouble.REFUSED
    scene.hold(LookAtPod, Deactivate)
    stopped_at = scene.now
    scene.stop(20, release=None)
    scene.run()
    look = scene.set_aside(LookAtPod)
    scene.run(late)
    report = replace(scene.pod, deleting=True, grace_left=6.0)
    scene.feed(events.PodLooked(op=look.op, report=report))
    scene.run(20)
    assert stopped_at + 4 < exit_at(scene) < stopped_at + 6
    assert scene.exit_code == 69


@pytest.mark.parametrize("report", [PodReport("uid-of-the-next", deleting=True, grace_left=2.0), PodReport("uid-us")])
def test_rule_18_a_late_look_that_tells_no_time_changes_nothing(report: PodReport) -> None:
    """Another pod's grace period, or none: the budget stays what it was."""
    scene = in_kubernetes()
    scene.app.trouble = AppTrouble.REFUSED
    scene.hold(LookAtPod, Deactivate)
    stopped_at = scene.now
    scene.stop(10, release=None)
    scene.run()
    look = scene.set_aside(LookAtPod)
    scene.feed(events.PodLooked(op=look.op, report=report))
    scene.run(20)
    assert stopped_at + 9 < exit_at(scene) < stopped_at + 10


def test_rule_18_a_used_up_grace_period_leaves_two_seconds() -> None:
    """The app used all of it: then everything gets SIGTERM, and SIGKILL two seconds later."""
    scene = in_kubernetes()
    scene.pod = replace(scene.pod, deleting=True, grace_left=-1.0)
    scene.app.trouble = AppTrouble.REFUSED
    scene.hold(Deactivate)
    stopped_at = scene.now
    scene.stop(20, release=None)
    scene.run(20)
    assert stopped_at + 1 < exit_at(scene) < stopped_at + 2
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.HANDOVER


def test_rule_18_a_grace_period_told_again_is_not_prolonged() -> None:
    """The same words, repeated by a watch that is renewed, are no new time."""
    scene = in_kubernetes()
    scene.see_pod(deleting=True, grace_left=30.0)
    first = scene.state.pod.ends_at
    assert first == scene.now + 30
    scene.run(20)
    scene.see_pod()
    assert scene.state.pod.ends_at == first
    scene.see_pod(grace_left=3.0)
    assert scene.state.pod.ends_at == scene.now + 3
    scene.see_pod(grace_left=None)
    assert scene.state.pod.ends_at == scene.now + 3


@pytest.mark.parametrize(
    ("trouble", "released"), [(AppTrouble.REFUSED, True), (AppTrouble.SILENT, False), (None, False)]
)
@pytest.mark.parametrize("silence", ["fails", "hangs"])
def test_rule_18_while_the_api_is_silent_the_apps_port_decides(
    trouble: AppTrouble | None, silence: str, released: bool
) -> None:
    """Nobody listens there: the end. It answers, or hangs: left to the next sidecar, or to the reclaimers."""
    scene = in_kubernetes()
    if silence == "hangs":
        scene.hold(LookAtPod)
    scene.say(LookAtPod, events.PodUnanswered, message="no answer")
    scene.app.trouble = trouble
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run(1)
    if released:
        assert_released(scene)
        assert scene.times(Deactivate)[-1][0] == stopped_at, "a refused port is enough, and needs no waiting"
    else:
        assert_left(scene, stopped_at)
        assert exit_at(scene) <= stopped_at + POD_LOOK
        assert "could not be found out" in scene.noticed(Occasion.SEAT_LEFT)[0].text


def test_rule_18_a_pod_that_stays_with_an_app_that_has_ended_gives_its_seat_back() -> None:
    """Not being deleted *and the app running*: here the app does not run."""
    scene = in_kubernetes()
    scene.app_ends(told=False)
    scene.stop(release=None)
    scene.run(1)
    assert_released(scene)


def test_rule_18_an_open_port_is_newer_than_the_status() -> None:
    """The app is back already, and the status still says that it has ended: nobody takes its seat."""
    scene = in_kubernetes()
    scene.pod = replace(scene.pod, app=AppContainer(id="one", ended=AppEnd.EXIT))
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run(1)
    assert_left(scene, stopped_at)


def test_rule_18_a_port_that_was_known_to_refuse_counts_where_no_knock_is_possible() -> None:
    """A question to the app hangs in its lane: what is known is better than nothing."""
    scene = in_kubernetes()
    scene.hold(AskApp)
    scene.run(11)
    scene.app.trouble = AppTrouble.REFUSED
    scene.feed(events.Knocked(trouble=AppTrouble.REFUSED))
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run(1)
    assert scene.asked(Knock) == []
    assert_released(scene)
    assert exit_at(scene) == stopped_at + POD_LOOK


@pytest.mark.parametrize("kind", [Knock, AskApp])
def test_rule_18_a_port_that_cannot_be_tried_leaves_a_doubt(kind: type) -> None:
    """The status says ended, the knock hangs or finds the lane taken: the status may lag, so the seat is left."""
    scene = in_kubernetes()
    scene.hold(kind)
    scene.run(11)
    scene.pod = replace(scene.pod, app=AppContainer(id="one", ended=AppEnd.EXIT))
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run(1)
    assert_left(scene, stopped_at)


@pytest.mark.parametrize(("ended", "released"), [(AppEnd.EXIT, True), (None, False)])
def test_rule_18_source_pod_has_no_port_to_try(ended: AppEnd | None, released: bool) -> None:
    """The status alone decides, and the API's silence leaves the seat."""
    scene = in_kubernetes(id_source=IdSource.POD, given_id=ID)
    scene.pod = replace(scene.pod, app=AppContainer(id="one", ended=ended))
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run(1)
    assert scene.asked(Knock) == []
    if released:
        assert_released(scene)
    else:
        assert_left(scene, stopped_at)


def test_rule_18_source_pod_and_a_silent_api() -> None:
    """Nothing can be found out: left."""
    scene = in_kubernetes(id_source=IdSource.POD, given_id=ID)
    scene.hold(LookAtPod)
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run(1)
    assert_left(scene, stopped_at)


def test_rule_18_a_second_signal_while_deciding_shortens_what_follows() -> None:
    """It does not make the decision for us."""
    scene = in_kubernetes()
    scene.hold(LookAtPod, Knock, Deactivate)
    stopped_at = scene.now
    scene.stop(20, release=None)
    scene.run(0.1)
    scene.stop(2, release=None)
    scene.pod = replace(scene.pod, deleting=True)
    scene.app.trouble = AppTrouble.REFUSED
    scene.unhold(LookAtPod, Knock)
    scene.run(20)
    assert scene.asked(Deactivate)
    assert stopped_at + 1 < exit_at(scene) <= stopped_at + 2.1


def test_rule_18_a_second_signal_cuts_the_waiting_for_the_app_short() -> None:
    """Somebody is in a hurry: the seat goes now."""
    scene = in_kubernetes()
    scene.pod = replace(scene.pod, deleting=True, grace_left=30.0)
    scene.stop(20, release=None)
    scene.run(5)
    assert scene.taken()
    scene.stop(2, release=None)
    scene.run(0.1)
    assert_released(scene)


@pytest.mark.parametrize("stays", [True, False])
def test_rule_18_a_renewal_under_way_is_waited_for(stays: bool) -> None:
    """The ledger's lane is busy for some milliseconds: the look comes after it, within the same 300 ms."""
    scene = in_kubernetes()
    scene.hold(Write)
    scene.run(11)
    renewal = scene.under_way(Write)
    scene.pod = replace(scene.pod, deleting=not stays)
    scene.app.trouble = None if stays else AppTrouble.REFUSED
    scene.hold(Knock)
    stopped_at = scene.now
    scene.stop(release=None)
    assert scene.asked(LookAtPod) == []
    scene.run(0.05)
    scene.unhold(Write, Knock)
    scene.answer(renewal)
    scene.run(1)
    assert scene.asked(LookAtPod)
    assert exit_at(scene) <= stopped_at + 0.1
    if stays:
        assert_left(scene, stopped_at)
    else:
        assert_released(scene)


def test_rule_18_a_renewal_that_hangs_does_not_hide_the_port() -> None:
    """No look is possible: silence of the API server."""
    scene = in_kubernetes()
    scene.hold(Write)
    scene.run(11)
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run(1)
    assert scene.asked(LookAtPod) == []
    assert exit_at(scene) == stopped_at + POD_LOOK
    assert_left(scene, stopped_at)


def test_rule_18_a_request_under_way_is_left_to_the_successor_where_the_pod_stays() -> None:
    """Its record says so: the next sidecar asks for the same ID again."""
    scene = Scene(watches_pod=True)
    scene.hold(Activate)
    scene.begin()
    scene.run(1)
    scene.stop(release=None)
    scene.run(1)
    stored = scene.stored()
    assert stored is not None
    assert (stored.phase, stored.open) == (Phase.ACTIVATING, True)
    assert scene.exit_code == 0


def test_rule_18_what_happens_while_deciding_is_folded() -> None:
    """A seat that is granted in these moments is given back with the others."""
    scene = Scene(watches_pod=True)
    scene.hold(Activate)
    scene.begin()
    scene.run(1)
    scene.hold(LookAtPod, Knock)
    scene.stop(release=None)
    scene.unhold(Activate)
    scene.pod = replace(scene.pod, deleting=True)
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(0.1)
    scene.feed(events.KeysSeen(snapshot=events.KeySnapshot(NEW_KEY, (KEY,))))
    assert scene.asked(Deactivate) == []
    scene.unhold(LookAtPod, Knock)
    scene.run(1)
    assert_released(scene)


@pytest.mark.parametrize("how", [{}, {"deleting": True}], ids=["stays", "ends"])
def test_rule_18_release_always_asks_nobody(how: dict[str, Any]) -> None:
    """``shutdown.release: always``."""
    scene = in_kubernetes()
    scene.pod = replace(scene.pod, **how)
    stopped_at = scene.now
    scene.stop(release=True)
    scene.run()
    assert scene.asked(LookAtPod) == []
    assert exit_at(scene) == stopped_at
    assert_released(scene)


def test_rule_18_release_never_asks_nobody() -> None:
    """``shutdown.release: never``: left even where the pod ends; the reclaimers are there for it."""
    scene = in_kubernetes()
    scene.see_pod(deleting=True)
    scene.app.trouble = AppTrouble.REFUSED
    stopped_at = scene.now
    scene.stop(release=False)
    scene.run()
    assert exit_at(scene) == stopped_at
    assert scene.taken()
    assert scene.stored() is not None
    assert scene.asked(LookAtPod) + scene.asked(Deactivate) == []


def test_rule_18_what_was_on_its_way_out_is_left_where_the_pod_stays() -> None:
    """The next sidecar adopts that record too and finishes it; nothing is begun in the last moment."""
    scene = in_kubernetes()
    scene.server_down()
    scene.app_ends()
    scene.run(1)
    scene.app_is_back()
    scene.run(3)
    assert len(scene.state.debts) == 1
    assert scene.asked(Deactivate)
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run(5)
    assert scene.exit_code == 0
    assert scene.asked(Deactivate, stopped_at + 0.001) == []
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.RELEASING


# --- before the pod was ever seen -------------------------------------------------------------------------------------


def unproven(*own: Any) -> Scene:
    """Return a sidecar that has not heard of its pod yet, and whose records an earlier life may have left."""
    scene = Scene(*own, watches_pod=True)
    scene.feed(events.Tick())
    scene.keys(KEY)
    scene.run(2)
    assert scene.asked(commands.ListOwn) == []
    assert scene.asked(Write) == []
    return scene


@pytest.mark.parametrize("release", [None, True])
def test_rule_18_a_stop_before_the_pod_was_seen_proves_first_who_we_are(release: bool | None) -> None:
    """The pod is ours and ends: what an earlier life left is found and given back."""
    scene = unproven(record())
    scene.server.activate(identity())
    scene.pod = replace(scene.pod, deleting=True, grace_left=20.0)
    scene.app.trouble = AppTrouble.REFUSED
    scene.stop(release=release)
    scene.run(3)
    assert_released(scene)


def test_rule_18_a_stop_before_the_pod_was_seen_and_the_pod_stays() -> None:
    """What an earlier life left stays."""
    scene = unproven(record())
    scene.server.activate(identity())
    stopped_at = scene.now
    scene.stop(release=None)
    scene.run(3)
    assert_left(scene, stopped_at)


def test_rule_18_release_always_before_the_pod_was_seen() -> None:
    """Given back although the pod stays, but only after it was proven to be ours."""
    scene = unproven(record())
    scene.server.activate(identity())
    scene.stop(release=True)
    scene.run(3)
    assert scene.asked(LookAtPod)
    assert_released(scene)


@pytest.mark.parametrize("release", [None, True])
@pytest.mark.parametrize("pod", [PodReport("uid-of-somebody"), PodReport(""), None], ids=["foreign", "none", "silent"])
def test_rule_18_who_cannot_prove_who_he_is_releases_nothing(pod: PodReport | None, release: bool | None) -> None:
    """NO_THEFT: ``pod.uid`` may be that of a pod which lives and serves with the seats that would be given back."""
    scene = unproven(record(owner=US), record(OTHER_ID, owner=US))
    for deployment_id in (ID, OTHER_ID):
        scene.server.activate(identity(deployment_id))
    scene.app.trouble = AppTrouble.REFUSED
    if pod is None:
        scene.hold(LookAtPod)
    else:
        scene.pod = pod
    before = dict(scene.records)
    scene.stop(release=release)
    scene.run(3)
    assert scene.exit_code == 0
    assert scene.server.taken == {(KEY, ID), (KEY, OTHER_ID)}
    assert scene.records == before
    assert scene.asked(Deactivate) == []
    assert "never seen" in scene.noticed(Occasion.SEAT_LEFT)[0].text


def test_rule_18_what_the_watch_says_after_the_stop_proves_nothing() -> None:
    """Its first words came too late to be of use; they do not end the process a second time either."""
    scene = unproven()
    scene.hold(LookAtPod)
    scene.stop(release=None)
    look = scene.set_aside(LookAtPod)
    scene.run(3)
    assert scene.exit_code == 0
    scene.feed(events.PodSeen(report=PodReport("uid-of-somebody")))
    scene.feed(events.PodLooked(op=look.op, report=PodReport("uid-of-somebody")))
    assert scene.noticed(Occasion.POD_FOREIGN) == []


def test_rule_18_the_app_is_not_asked_while_deciding() -> None:
    """Only the two questions that decide are on their way."""
    scene = in_kubernetes()
    scene.hold(LookAtPod, Knock)
    scene.run(9.9)
    asked = len(scene.asked(AskApp))
    scene.stop(release=None)
    scene.run(0.2)
    assert len(scene.asked(AskApp)) == asked


@pytest.mark.parametrize(
    ("lease", "age", "asked"), [(60.0, 59.0, 0), (60.0, 61.0, 1), (6.0, 59.0, 0), (6.0, 61.0, 1), (120.0, 119.0, 0)]
)
def test_rule_18_a_successor_asks_nobody_while_the_record_is_younger_than_a_lease(
    lease: float, age: float, asked: int
) -> None:
    """A kubelet takes its time to start it: a minute, however short the lease. Then nobody knows what was done."""
    scene = Scene(record(renewed_at=1000.0 - age), watches_pod=True, lease=lease)
    scene.server.activate(identity())
    scene.app.licensed = True
    scene.begin()
    scene.run(1)
    assert scene.stage is Stage.ACTIVE
    assert len(scene.asked(Activate)) == asked
