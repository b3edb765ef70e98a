"""Rule 17 in Kubernetes: the pod's status decides about the app's life, and silence of its port alone does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core import events
from sidecar.core.commands import Activate, AskApp, Deactivate, Occasion, Write
from sidecar.core.facts import AppContainer
from sidecar.core.policy import IdSource, Route
from sidecar.core.reasons import AppEnd, AppTrouble, Cause
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, OTHER_ID, THIRD_ID, App, Scene, identity, record


def in_kubernetes(**policy: Any) -> Scene:
    """Return a sidecar that has its seat."""
    scene = Scene(watches_pod=True, **policy).begin()
    scene.run(5)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE
    return scene


@pytest.mark.parametrize("how", list(set(AppEnd) - {AppEnd.UNREACHABLE}))
def test_rule_17_an_ended_container_releases_the_seat_after_the_failure_grace(how: AppEnd) -> None:
    """Exit, OOM, crash loop: five seconds, then the seat is free for others; the notice says how it ended."""
    scene = in_kubernetes()
    scene.app_ends(how)
    scene.run(4.9)
    assert scene.taken()
    scene.run(0.2)
    assert not scene.taken()
    assert scene.records == {}
    assert scene.asked(Deactivate)[0].cause is Cause.APP_FAILURE
    (notice,) = scene.noticed(Occasion.APP_FAILED)
    assert notice.reason == how
    scene.run(600)
    assert scene.stage is Stage.WAITING_FOR_APP


@pytest.mark.parametrize("trouble", list(AppTrouble))
def test_rule_17_silence_of_the_port_alone_releases_nothing(trouble: AppTrouble) -> None:
    """The container runs: a hanging or closed port is the liveness probe's affair."""
    scene = in_kubernetes()
    scene.app.trouble = trouble
    scene.feed(events.Knocked(trouble=trouble))
    scene.run(3600)
    assert scene.taken()
    assert scene.asked(Deactivate) == []


def test_rule_17_back_sooner_with_the_same_id_is_nothing() -> None:
    """A crash and a quick restart of an app that keeps its ID: the seat stays, the licence is delivered again."""
    scene = in_kubernetes()
    for number in range(5):
        scene.app_ends()
        scene.run(3)
        scene.app_is_back(f"again-{number}", ID)
        scene.run(20)
    assert scene.asked(Deactivate) == []
    assert scene.stage is Stage.ACTIVE
    assert scene.app.licensed


def test_rule_17_back_sooner_with_another_id_is_a_replacement() -> None:
    """Rule 8: release the old, activate the new."""
    scene = in_kubernetes()
    scene.app_ends()
    scene.run(2)
    scene.app_is_back()
    scene.run(5)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert scene.asked(Deactivate)[0].cause is Cause.DEPLOYMENT_CHANGED
    assert scene.stage is Stage.ACTIVE


def test_rule_17_what_comes_back_after_a_failure_gets_a_seat() -> None:
    """The crash loop ends: a new container, a new ID, a new seat."""
    scene = in_kubernetes()
    scene.app_ends(AppEnd.CRASH_LOOP)
    scene.run(60)
    assert scene.server.taken == set()
    scene.app_is_back()
    scene.run(5)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert scene.stage is Stage.ACTIVE


@pytest.mark.parametrize(
    "seen",
    [AppContainer(id="two"), AppContainer(id="one", restarts=1), AppContainer(id="", restarts=1)],
    ids=["another ID", "one more restart", "one more restart, no ID yet"],
)
def test_rule_17_a_restart_that_was_never_seen_invalidates_what_the_app_said(seen: AppContainer) -> None:
    """States coalesce: "running" and "running" with another container in between. Not ready until it is asked again."""
    scene = in_kubernetes()
    scene.hold(AskApp)
    scene.app = App(OTHER_ID)
    scene.see_pod(app=seen)
    assert not scene.view.ready
    assert scene.under_way(AskApp)
    scene.unhold(AskApp)
    scene.run(5)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert scene.stage is Stage.ACTIVE


def test_rule_17_the_same_container_seen_again_changes_nothing() -> None:
    """Every change of the pod's conditions is told, and nearly none of them is about the app."""
    scene = in_kubernetes()
    asked = len(scene.asked(AskApp))
    for _ in range(20):
        scene.see_pod()
    assert len(scene.asked(AskApp)) == asked
    assert scene.stage is Stage.ACTIVE


def test_rule_17_each_restart_of_a_crash_loop_has_its_own_grace() -> None:
    """Ended, ended again with another container in between: it did run meanwhile."""
    scene = in_kubernetes()
    scene.app_ends()
    scene.run(4)
    scene.see_pod(app=AppContainer(id="two", restarts=1, ended=AppEnd.EXIT))
    scene.run(4)
    assert scene.taken()
    scene.run(2)
    assert not scene.taken()


def test_rule_17_seen_ended_again_and_again_counts_from_the_first_time() -> None:
    """A status that is repeated does not prolong anything."""
    scene = in_kubernetes()
    scene.app_ends()
    for _ in range(6):
        scene.run(1)
        scene.see_pod()
    assert not scene.taken()


def test_rule_17_a_status_without_the_container_says_nothing_new() -> None:
    """A kubelet that has just begun tells no states: what was known stays known."""
    scene = in_kubernetes()
    scene.see_pod(app=None)
    scene.run(60)
    assert scene.taken()
    scene.app.trouble = AppTrouble.REFUSED
    scene.see_pod(app=AppContainer(id="one", ended=AppEnd.EXIT))
    scene.run(2)
    scene.see_pod(app=None)
    scene.run(4)
    assert not scene.taken()


def test_rule_17_an_exit_during_the_pods_deletion_is_no_crash() -> None:
    """The shutdown gives the seat back, in its own order; here it is not told to stop yet."""
    scene = in_kubernetes()
    scene.see_pod(deleting=True, grace_left=60.0)
    scene.app_ends()
    scene.run(50)
    assert scene.noticed(Occasion.APP_FAILED) == []
    assert scene.asked(Deactivate) == []


def test_rule_17_an_exit_of_an_evicted_pod_is_no_crash() -> None:
    """Terminal, or a DisruptionTarget: SIGTERM is on its way."""
    scene = in_kubernetes()
    scene.see_pod(ended=True)
    scene.app_ends()
    scene.run(50)
    assert scene.asked(Deactivate) == []


def test_rule_17_nothing_is_concluded_while_the_pod_cannot_be_seen() -> None:
    """What the status said before the watch was cut may be history by now."""
    scene = in_kubernetes()
    scene.app_ends()
    scene.run(2)
    scene.feed(events.PodUnseen(message="the connection was cut"))
    scene.run(300)
    assert scene.taken()
    assert "our own pod: the connection was cut" in scene.view.faults
    scene.see_pod()
    scene.run(1)
    assert not scene.taken(), "the same container has not run since"
    assert scene.noticed(Occasion.POD_SEEN)


def test_rule_17_a_watch_that_is_back_tells_of_a_restart_in_the_outage() -> None:
    """Ended before the outage, running again after it: nothing has failed."""
    scene = in_kubernetes()
    scene.app_ends()
    scene.feed(events.PodUnseen(message="cut"))
    scene.feed(events.PodUnseen(message="still cut"))
    scene.run(100)
    scene.app_is_back("two", ID)
    scene.run(20)
    assert scene.asked(Deactivate) == []
    assert scene.stage is Stage.ACTIVE


def test_rule_17_the_app_itself_is_asked_before_its_status_is_believed() -> None:
    """The status lags behind: it says ended, and the app answers. It lives."""
    scene = in_kubernetes()
    scene.hold(AskApp)
    assert scene.pod.app is not None
    scene.see_pod(app=replace(scene.pod.app, ended=AppEnd.EXIT))
    scene.run(0.1)
    scene.unhold(AskApp)
    scene.run(600)
    assert scene.taken()
    assert scene.asked(Deactivate) == []
    scene.app.trouble = AppTrouble.REFUSED
    scene.run(20)
    assert not scene.taken(), "and when it does not answer any more, the status was right"


def test_rule_17_silence_after_an_answer_does_not_make_an_old_status_true() -> None:
    """It said ended, the app answered, and now its port hangs: the status was refuted, and silence releases nothing."""
    scene = in_kubernetes()
    scene.hold(AskApp)
    assert scene.pod.app is not None
    scene.see_pod(app=replace(scene.pod.app, ended=AppEnd.EXIT))
    scene.run(0.1)
    scene.unhold(AskApp)
    scene.run(30)
    scene.app.trouble = AppTrouble.SILENT
    scene.feed(events.Knocked(trouble=AppTrouble.SILENT))
    scene.run(300)
    scene.see_pod()
    scene.run(300)
    assert scene.taken()
    assert scene.asked(Deactivate) == []
    scene.app_ends(AppEnd.CRASH_LOOP)
    scene.run(6)
    assert not scene.taken()


def test_rule_17_without_the_ledger_nothing_is_sent_that_is_not_marked() -> None:
    """The app has ended and the ledger is down: the mark first, then the release."""
    scene = in_kubernetes()
    scene.ledger_down()
    scene.app_ends()
    scene.run(100)
    assert scene.asked(Deactivate) == []
    scene.ledger_up()
    scene.run(20)
    assert not scene.taken()
    assert scene.records == {}


def test_rule_17_source_pod_knows_the_app_by_the_status_alone() -> None:
    """No REST API to ask: ended releases, running takes again, and no fault is left behind."""
    scene = in_kubernetes(id_source=IdSource.POD, given_id=ID)
    scene.app_ends()
    scene.run(6)
    assert not scene.taken()
    scene.app_is_back("two", ID)
    scene.run(5)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE
    assert scene.view.faults == ()


def test_rule_17_route_app_a_restart_leaves_the_seat_until_the_app_tells_its_id() -> None:
    """Not yet known is not another one."""
    scene = Scene(watches_pod=True, route=Route.APP)
    scene.app.licensed = True
    scene.server.activate(identity())
    scene.begin()
    scene.run(5)
    scene.hold(AskApp)
    scene.see_pod(app=AppContainer(id="two", restarts=1))
    scene.run(60)
    assert scene.asked(Deactivate) == []
    assert scene.seat.identity == identity()
    scene.unhold(AskApp)
    scene.app.deployment_id = OTHER_ID
    scene.server.activate(identity(OTHER_ID))
    scene.run(300)
    assert scene.server.taken == {(KEY, OTHER_ID)}


def test_rule_17_a_restarted_sidecar_releases_what_an_app_left_that_does_not_run() -> None:
    """Adopted records of a crash loop: whatever their ID was, nobody serves with it."""
    scene = Scene(record(), record(OTHER_ID), watches_pod=True)
    for deployment_id in (ID, OTHER_ID):
        scene.server.activate(identity(deployment_id))
    scene.app.trouble = AppTrouble.REFUSED
    scene.pod = replace(scene.pod, app=AppContainer(id="one", restarts=7, ended=AppEnd.CRASH_LOOP))
    scene.begin()
    scene.run(4)
    assert scene.server.taken == {(KEY, ID), (KEY, OTHER_ID)}
    scene.run(10)
    assert scene.server.taken == set()
    assert scene.records == {}


def test_rule_17_an_app_that_is_back_in_the_middle_of_it_keeps_its_seat() -> None:
    """Three seats were to go; what is wanted again and was not asked for yet is left out."""
    scene = Scene(record(), record(OTHER_ID, Phase.RELEASING), record(THIRD_ID), watches_pod=True)
    for deployment_id in (ID, OTHER_ID, THIRD_ID):
        scene.server.activate(identity(deployment_id))
    scene.app.trouble = AppTrouble.REFUSED
    scene.pod = replace(scene.pod, app=AppContainer(id="one", ended=AppEnd.EXIT))
    scene.begin()
    scene.hold(Write, Deactivate)
    scene.run(6)
    scene.app_is_back("two", ID)
    scene.app.licensed = True
    scene.run(1)
    scene.answer(scene.under_way(Write))
    scene.answer(scene.under_way(Deactivate))
    scene.unhold(Write, Deactivate)
    scene.run(60)
    assert identity() not in {it.identity for it in scene.asked(Deactivate)}
    assert scene.server.taken == {(KEY, ID)}
    assert scene.stage is Stage.ACTIVE


def test_rule_17_a_restarted_sidecar_keeps_the_seat_of_an_app_that_runs() -> None:
    """Adopted without a request to the activation server (rule 18)."""
    scene = Scene(record(), watches_pod=True)
    scene.server.activate(identity())
    scene.app.licensed = True
    scene.begin()
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    assert scene.asked(Activate) == []
    assert scene.asked(Deactivate) == []
