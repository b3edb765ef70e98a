"""Rule 17, outside Kubernetes: a refused port counts as exit, long silence as failure; a quick return is nothing."""

from dataclasses import replace

import pytest

from sidecar.core import events
from sidecar.core.commands import Activate, AskApp, Deactivate, Occasion, Write
from sidecar.core.policy import IdSource
from sidecar.core.reasons import AppTrouble, Cause
from sidecar.core.records import Claim, Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, KEY, LATE, OTHER_ID, Scene, identity, record


def knock(scene: Scene, trouble: AppTrouble | None) -> None:
    """Try the app's port between two questions."""
    scene.feed(events.Knocked(trouble=trouble))


def test_rule_17_a_refused_port_releases_the_seat_after_the_failure_grace() -> None:
    """Exit, OOM, crash loop: five seconds, then the seat is free for others."""
    scene = Scene().begin()
    scene.run(3)
    scene.app.trouble = AppTrouble.REFUSED
    knock(scene, AppTrouble.REFUSED)
    scene.run(4)
    assert scene.taken()
    assert scene.stage is Stage.GRACE
    scene.run(2)
    assert not scene.taken()
    assert scene.records == {}
    assert scene.asked(Deactivate)[0].cause is Cause.APP_FAILURE
    assert len(scene.noticed(Occasion.APP_FAILED)) == 1
    scene.run(600)
    assert scene.stage is Stage.WAITING_FOR_APP


def test_rule_17_back_sooner_with_the_same_id_is_nothing() -> None:
    """A port that was closed for a moment."""
    scene = Scene().begin()
    scene.run(3)
    for _ in range(5):
        knock(scene, AppTrouble.REFUSED)
        scene.run(3)
        knock(scene, None)
        scene.run(3)
    assert scene.asked(Deactivate) == []
    assert scene.stage is Stage.ACTIVE


def test_rule_17_back_sooner_with_another_id_is_a_replacement() -> None:
    """Rule 8: release the old, activate the new."""
    scene = Scene().begin()
    knock(scene, AppTrouble.REFUSED)
    scene.run(1)
    scene.app.deployment_id, scene.app.licensed = OTHER_ID, False
    knock(scene, None)
    scene.run(5)
    assert scene.server.taken == {(KEY, OTHER_ID)}
    assert scene.asked(Deactivate)[0].cause is Cause.DEPLOYMENT_CHANGED


def test_rule_17_silence_is_failure_only_after_a_minute() -> None:
    """Neither an answer nor a refused connection."""
    scene = Scene().begin()
    scene.app.trouble = AppTrouble.SILENT
    knock(scene, AppTrouble.SILENT)
    scene.run(59)
    assert scene.taken()
    scene.run(2)
    assert not scene.taken()


def test_rule_17_silence_counts_from_the_question_that_got_no_answer() -> None:
    """A hung app takes connections and says nothing: the time-out is a part of its silence, and not to be added."""
    scene = Scene(unreachable_after=20.0).begin()
    scene.hold(AskApp)
    while not any(isinstance(it.command, AskApp) for it in scene.flying):
        scene.run(1)
    asked_at = scene.times(AskApp)[-1][0]
    scene.run(asked_at + 19 - scene.now)
    assert scene.taken()
    scene.run(2)
    assert not scene.taken()


@pytest.mark.parametrize("trouble", [AppTrouble.FORBIDDEN, AppTrouble.BROKEN])
def test_rule_17_an_app_that_answers_nonsense_lives(trouble: AppTrouble) -> None:
    """403 for ever is a wrong API key, 500 a bad day: the seat stays."""
    scene = Scene().begin()
    scene.app.trouble = trouble
    scene.run(3600)
    assert scene.taken()
    assert scene.asked(Deactivate) == []


def test_rule_17_what_comes_back_after_a_failure_is_asked_for_its_id() -> None:
    """Another container: the old ID is history until it is told again."""
    scene = Scene().begin()
    scene.app.trouble = AppTrouble.REFUSED
    knock(scene, AppTrouble.REFUSED)
    scene.run(10)
    scene.app.trouble, scene.app.deployment_id, scene.app.licensed = None, OTHER_ID, False
    knock(scene, None)
    scene.run(3)
    assert scene.stage is Stage.ACTIVE
    assert scene.server.taken == {(KEY, OTHER_ID)}


def test_rule_17_the_same_container_after_a_long_silence_gets_its_seat_back() -> None:
    """It was only slow; its seat was released, and is taken and delivered again."""
    scene = Scene().begin()
    scene.app.trouble = AppTrouble.SILENT
    knock(scene, AppTrouble.SILENT)
    scene.run(100)
    assert not scene.taken()
    scene.app.trouble = None
    scene.run(10)
    assert scene.taken()
    assert scene.stage is Stage.ACTIVE


def test_rule_17_an_app_that_is_back_before_anything_was_sent_keeps_its_seat() -> None:
    """The failure was noted, but the ledger was slow: nothing is sent any more."""
    scene = Scene().begin()
    scene.app.trouble = AppTrouble.SILENT
    knock(scene, AppTrouble.SILENT)
    scene.run(55)
    scene.hold(Write)
    scene.run(8)
    assert scene.state.debts
    scene.app.trouble = None
    knock(scene, None)
    scene.run(5)
    scene.unhold(Write)
    scene.run(30)
    assert scene.asked(Deactivate) == []
    assert scene.stage is Stage.ACTIVE
    assert scene.taken()


def test_rule_17_silence_that_turns_into_a_refused_port_counts_from_then() -> None:
    """The kinds of trouble have clocks of their own."""
    scene = Scene().begin()
    knock(scene, AppTrouble.SILENT)
    scene.app.trouble = AppTrouble.SILENT
    scene.run(50)
    scene.app.trouble = AppTrouble.REFUSED
    knock(scene, AppTrouble.REFUSED)
    knock(scene, AppTrouble.REFUSED)
    scene.run(4)
    assert scene.taken()
    scene.run(2)
    assert not scene.taken()


def test_rule_17_a_knock_does_not_hide_what_is_known() -> None:
    """Silence of the port while the app answers nonsense: still nonsense."""
    scene = Scene().begin()
    scene.app.trouble = AppTrouble.BROKEN
    scene.run(20)
    knock(scene, AppTrouble.SILENT)
    scene.run(100)
    assert scene.taken()


def test_rule_17_an_open_port_is_no_answer() -> None:
    """A knock that succeeds while nothing was wrong changes nothing."""
    scene = Scene().begin()
    before = scene.state
    knock(scene, None)
    assert scene.state == before


def test_rule_17_adopted_records_of_an_app_that_does_not_come_up_are_released() -> None:
    """The pod's app is gone: whatever its ID was, nobody serves with it."""
    scene = Scene(record(), record(OTHER_ID, Phase.ACTIVATING, open=True))
    scene.server.activate(identity())
    scene.server.activate(identity(OTHER_ID))
    scene.app.trouble = AppTrouble.REFUSED
    scene.begin()
    scene.run(10)
    assert scene.server.taken == set()
    assert scene.stored(ID) is None
    assert scene.stored(OTHER_ID) is not None, "its request may be late"
    scene.run(3 * LATE)
    assert scene.records == {}


def test_rule_17_an_adopted_seat_is_kept_while_the_app_is_slow_to_answer() -> None:
    """The sidecar was restarted alone; the app answers after a while."""
    scene = Scene(record())
    scene.server.activate(identity())
    scene.app.trouble, scene.app.licensed = AppTrouble.BROKEN, True
    scene.begin()
    scene.run(300)
    assert scene.taken()
    scene.app.trouble = None
    scene.run(10)
    assert scene.stage is Stage.ACTIVE
    assert scene.asked(Activate) == []


def test_rule_17_source_fixed_with_the_app_down() -> None:
    """The ID is known, but nobody serves with it."""
    scene = Scene(id_source=IdSource.FIXED, given_id=ID)
    scene.app.trouble = AppTrouble.REFUSED
    scene.begin()
    scene.run(100)
    assert not scene.taken()
    scene.app.trouble = None
    scene.run(10)
    assert scene.stage is Stage.ACTIVE


def test_adoption_takes_the_apps_record_and_makes_debts_of_the_others() -> None:
    """Records with our uid are facts; another ID among them is a debt."""
    scene = Scene(record(), record(OTHER_ID), record("MSCL9", Phase.RELEASING))
    for deployment_id in (ID, OTHER_ID):
        scene.server.activate(identity(deployment_id))
    scene.app.licensed = True
    scene.begin()
    scene.run(5)
    assert scene.stage is Stage.ACTIVE
    assert scene.server.taken == {(KEY, ID)}
    assert len(scene.noticed(Occasion.ADOPTED)) == 3
    scene.run(LATE)
    assert set(scene.records) == {identity().name}


def test_adoption_of_an_active_record_asks_nobody_at_first() -> None:
    """Rule 18: adopted without asking; confirmed once, when a predecessor's deactivation can no longer be late."""
    scene = Scene(record())
    scene.server.activate(identity())
    scene.app.licensed = True
    scene.begin()
    assert scene.stage is Stage.ACTIVE
    scene.run(LATE - 1)
    assert scene.asked(Activate) == []
    scene.run(2)
    assert len(scene.asked(Activate)) == 1
    scene.run(4 * LATE)
    assert len(scene.asked(Activate)) == 1


def test_adoption_is_confirmed_after_20_seconds_at_the_earliest() -> None:
    """However short ``late`` is set: a successor asks nobody (rule 18)."""
    scene = Scene(record(), late=2.0)
    scene.server.activate(identity())
    scene.app.licensed = True
    scene.begin()
    scene.run(19)
    assert scene.asked(Activate) == []
    scene.run(2)
    assert len(scene.asked(Activate)) == 1


def test_adoption_whose_licence_is_lost_before_the_confirmation_is_asked_for_twice() -> None:
    """The question for the licence does not replace the one for which the adoption waits."""
    scene = Scene(record(), late=2.0)
    scene.server.activate(identity())
    scene.app.licensed = True
    scene.begin()
    scene.run(30)
    scene.app.licensed = False
    scene.run(20)
    assert len(scene.asked(Activate)) == 2


def test_adoption_of_a_stale_record_asks_at_once_and_once_more() -> None:
    """A predecessor that could not write any more may have given the seat back."""
    scene = Scene(record(renewed_at=900.0))
    scene.app.licensed = True
    scene.begin()
    scene.run(1)
    assert scene.taken()
    scene.run(LATE + 1)
    assert len(scene.asked(Activate)) == 2


@pytest.mark.parametrize("phase", [Phase.RELEASING, Phase.HANDOVER])
def test_adoption_of_a_record_on_its_way_out_takes_it_back(phase: Phase) -> None:
    """The app is still there with that ID: activate, and once more after ``late``."""
    scene = Scene(record(phase=phase))
    scene.app.licensed = True
    scene.begin()
    scene.run(1)
    assert scene.taken()
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.ACTIVE
    scene.server.taken.clear()
    scene.run(LATE + 1)
    assert scene.taken()


def test_adoption_of_a_claimed_record_waits_for_the_claim() -> None:
    """An ID is activated again only after any claim has lapsed."""
    scene = Scene(record(claim=Claim(by="uid-them", at=0.0)), record(OTHER_ID))
    scene.app.licensed = True
    scene.begin()
    scene.run(29)
    assert not [it for it in scene.asked(Activate) if it.identity == identity()]
    scene.run(2)
    assert scene.taken()


def test_adoption_of_the_same_id_on_another_server_is_left_alone() -> None:
    """The setting was changed: what was taken there cannot be released from here."""
    other = identity(ID, KEY, "https://other.example")
    scene = Scene(replace(record(), identity=other))
    scene.begin()
    scene.run(60)
    assert scene.stage is Stage.ACTIVE
    assert {it.identity for it in scene.asked(Activate)} == {identity()}
    assert scene.asked(Deactivate) == []


def test_adoption_waits_for_the_ledger() -> None:
    """What an earlier life left must be known before anything new is asked for."""
    scene = Scene(record(OTHER_ID))
    scene.server.seats[KEY] = 1
    scene.server.activate(identity(OTHER_ID))
    scene.ledger_down()
    scene.begin()
    scene.run(60)
    assert scene.asked(Activate) == []
    scene.ledger_up()
    scene.run(30)
    assert scene.server.taken == {(KEY, ID)}
