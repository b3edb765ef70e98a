"""The unchanged agent and reclaimer under seeded storms; the invariants are judged by the server's own history."""

from __future__ import annotations

import pytest

from tests.simulation.storm import Storm, run


@pytest.mark.parametrize("seed", range(1, 9))
def test_every_invariant_survives_a_storm_at_a_full_quota(seed: int) -> None:
    """NO_LEAK, NO_THEFT, RECORD_FIRST, ONE_SEAT, NO_STARVE: twelve pods, twelve seats, half a virtual hour."""
    report = run(Storm(seed, pods=12, seconds=1800.0, every=20.0))
    assert report.faults() == []
    assert len(report.history) > 2 * 12, "the storm must have moved seats, or it has shown nothing"


def test_a_hundred_agents_survive_a_virtual_hour() -> None:
    """A hundred unchanged agents, a virtual hour of crashes, kills, outages and lost answers, then calm."""
    report = run(Storm(2026, pods=100, seconds=3600.0, every=15.0, spare=3))
    assert report.faults() == []
    assert report.requests > 200


def test_a_run_replays_exactly() -> None:
    """The same seed gives the same history, request for request; another seed another one."""
    storm = Storm(77, pods=6, seconds=900.0, every=20.0)
    first, second = run(storm), run(storm)
    assert first.history == second.history
    assert first.requests == second.requests
    assert first.history != run(Storm(78, pods=6, seconds=900.0, every=20.0)).history
