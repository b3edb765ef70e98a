"""Rules 10 to 12: whose seat may be taken back, judged by the reclaimer's own eyes."""

from dataclasses import replace

import pytest

from sidecar.core.orphans import Scope, Sighting, Verdict, judge, sight
from sidecar.core.policy import CLAIM_TIME
from sidecar.core.records import Claim, Phase, Sight, Standing, Stored
from tests.unit.core.driver import KEY, NEW_KEY, SERVER, THEM, US, identity, record

LEASE = 60.0
SCOPE = Scope(SERVER, frozenset({KEY}), LEASE, US.uid)
GONE, LIVE, UNPROVEN = (
    Sight(standing, standing.value) for standing in (Standing.GONE, Standing.LIVE, Standing.UNPROVEN)
)


def verdict(still: float, seen: Sight, **changes: object) -> Verdict:
    """Judge somebody else's record that has been unchanged for so long before our eyes."""
    stored = Stored(replace(record(owner=THEM), **changes), "7")
    return judge(stored, Sighting("7", 1000.0), seen, 1000.0 + still, SCOPE).verdict


@pytest.mark.parametrize("phase", [Phase.ACTIVATING, Phase.ACTIVE, Phase.RELEASING])
def test_rule_10_a_live_owners_record_is_not_touched_whatever_its_phase_or_age(phase: Phase) -> None:
    """Silent for a day, and still its seat."""
    assert verdict(86400.0, LIVE, phase=phase) is Verdict.KEEP


def test_rule_10_what_cannot_be_proven_is_reported() -> None:
    """No right to look, another boot, a network file system: gone is only what was proven gone."""
    assert verdict(86400.0, UNPROVEN) is Verdict.REPORT


def test_rule_10_a_handover_needs_neither_proof_nor_patience() -> None:
    """Its owner asked for it."""
    assert verdict(0.0, LIVE, phase=Phase.HANDOVER) is Verdict.RECLAIM


@pytest.mark.parametrize(("still", "expected"), [(0.0, Verdict.WATCH), (59.9, Verdict.WATCH), (60.0, Verdict.RECLAIM)])
def test_rule_11_an_orphan_is_gone_and_unchanged_for_a_lease(still: float, expected: Verdict) -> None:
    """Both, by our own clock."""
    assert verdict(still, GONE) is expected


@pytest.mark.parametrize("renewed_at", [0.0, 1e12])
def test_rule_11_times_in_the_record_never_decide(renewed_at: float) -> None:
    """A clock that is wrong by years makes nobody an orphan, and keeps nobody from being one."""
    assert verdict(59.0, GONE, renewed_at=renewed_at) is Verdict.WATCH
    assert verdict(61.0, GONE, renewed_at=renewed_at) is Verdict.RECLAIM


def test_rule_11_a_change_starts_the_observation_anew() -> None:
    """A renewed record was written by somebody who lives."""
    first = sight(None, Stored(record(owner=THEM), "1"), 0.0)
    same = sight(first, Stored(record(owner=THEM), "1"), 50.0)
    other = sight(same, Stored(record(owner=THEM), "2"), 55.0)
    assert (first.since, same.since, other.since) == (0.0, 0.0, 55.0)


def test_rule_12_a_claim_is_respected_until_it_expires_by_observation() -> None:
    """A crash of the claimer leaves something that the next one finishes."""
    claim = Claim(by="uid-third", at=0.0)
    assert verdict(CLAIM_TIME - 1, GONE, phase=Phase.HANDOVER, claim=claim) is Verdict.WATCH
    assert verdict(CLAIM_TIME, GONE, phase=Phase.HANDOVER, claim=claim) is Verdict.RECLAIM


def test_rule_12_what_is_not_ours_to_release_is_said() -> None:
    """Another server, an unknown key, a record without ID, our own."""
    other = replace(identity(), server="https://other.example")
    assert verdict(600.0, GONE, identity=other) is Verdict.FOREIGN
    assert verdict(600.0, GONE, identity=identity(key=NEW_KEY)) is Verdict.UNKNOWN_KEY
    assert verdict(600.0, GONE, identity=identity("")) is Verdict.REPORT
    assert verdict(600.0, GONE, owner=US) is Verdict.KEEP
