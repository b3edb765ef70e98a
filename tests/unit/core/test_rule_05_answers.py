"""Rule 5: what an answer to an activation means for the record; what is an answer, the adapters' tests say."""

import pytest

from sidecar.core.commands import Activate, Deactivate
from sidecar.core.events import ServerFailed
from sidecar.core.reasons import REFUSALS, Failure
from sidecar.core.view import Stage
from tests.unit.core.driver import KEY, Scene


@pytest.mark.parametrize("reason", sorted(REFUSALS))
def test_rule_05_a_refusal_erases_the_record_if_every_request_was_definitely_refused(reason: Failure) -> None:
    """Nothing was taken, so nothing is left to release: no deactivation, no record."""
    scene = Scene()
    scene.server.refuses[KEY] = reason
    scene.begin()
    assert scene.records == {}
    assert scene.asked(Deactivate) == []
    assert not scene.view.ready


def test_rule_05_a_refusal_after_an_unanswered_success_keeps_the_record() -> None:
    """A server that counts a pair twice refuses because of the seat that our own lost request took."""
    scene = Scene()
    scene.server_down()
    scene.begin()
    scene.server.taken.add((KEY, scene.app.deployment_id or ""))
    scene.say(Activate, None)
    scene.server.refuses[KEY] = Failure.NO_SEATS
    scene.run(60)
    assert len(scene.records) == 1, "the seat may be taken"
    scene.server_up()
    scene.run(200)
    assert scene.asked(Deactivate), "once nothing can be late any more, what may be taken is given back"
    assert not scene.taken()
    del scene.server.refuses[KEY]
    scene.run(400)
    assert scene.stage is Stage.ACTIVE


def test_rule_05_an_outage_is_no_answer_and_leaves_the_record_open() -> None:
    """Whatever is neither a licence nor a refusal may have taken a seat."""
    scene = Scene()
    scene.say(Activate, ServerFailed, reason=Failure.PROTOCOL, message="HTML")
    scene.begin()
    stored = scene.stored()
    assert stored is not None
    assert stored.open


def test_rule_05_a_request_that_was_certainly_never_sent_leaves_nothing_open() -> None:
    """A refused connection is an answer in the only sense that counts: nothing reached the server."""
    scene = Scene()
    scene.server_down(sent=False)
    scene.begin()
    stored = scene.stored()
    assert stored is not None
    assert not stored.open
    scene.stop()
    scene.run(1)
    assert (scene.records, scene.exit_code, scene.asked(Deactivate)) == ({}, 0, [])
