"""Rule 15: a sidecar whose own record is claimed or missing writes it again and activates the same ID again."""

from dataclasses import replace

from sidecar.core.commands import Activate, Occasion
from sidecar.core.policy import CLAIM_TIME
from sidecar.core.records import Claim, Phase
from sidecar.core.view import Stage
from tests.unit.core.driver import ID, Scene, identity


def test_rule_15_a_missing_record_is_written_again_and_the_seat_asked_for_again() -> None:
    """Whoever erased it may have released the seat."""
    scene = Scene().begin()
    scene.records.clear()
    scene.server.taken.clear()
    scene.run(20)
    stored = scene.stored()
    assert stored is not None
    assert stored.phase is Phase.ACTIVE
    assert scene.taken()
    assert len(scene.noticed(Occasion.RECORD_LOST)) == 1


def test_rule_15_a_claimed_record_is_taken_back_and_the_seat_asked_for_when_the_claim_has_lapsed() -> None:
    """Writing over the claim makes the claimer's erasure fail; asking before it lapsed could be undone by it."""
    scene = Scene().begin()
    stored = scene.records[identity(ID).name]
    scene.put(replace(stored.record, claim=Claim(by="uid-mistaken", at=0.0)))
    scene.run(16)
    found = scene.now
    mine = scene.stored()
    assert mine is not None
    assert mine.claim is None
    scene.server.taken.clear()
    scene.run(CLAIM_TIME + 5)
    asked = [at for at, _ in scene.times(Activate)][-1]
    assert CLAIM_TIME - 16 <= asked - found <= CLAIM_TIME + 1
    assert scene.taken()


def test_rule_15_who_cannot_reach_the_ledger_keeps_what_it_has() -> None:
    """Grace: still ready, nothing new is taken, and renewed as soon as the ledger is back."""
    scene = Scene(app_interval=5.0).begin()
    scene.ledger_down()
    scene.run(120)
    assert scene.stage is Stage.GRACE
    assert scene.view.ready
    before = len(scene.asked(Activate))
    scene.ledger_up()
    scene.run(30)
    assert scene.stage is Stage.ACTIVE
    assert len(scene.asked(Activate)) == before


def test_rule_15_no_ledger_no_request() -> None:
    """Rule 2's other half: a sidecar that starts without a ledger asks for nothing."""
    scene = Scene()
    scene.ledger_down()
    scene.begin()
    scene.run(600)
    assert scene.asked(Activate) == []
    scene.ledger_up()
    scene.run(30)
    assert scene.stage is Stage.ACTIVE
