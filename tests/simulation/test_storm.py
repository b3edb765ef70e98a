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


@pytest.mark.parametrize("seed", [1, 2])
def test_every_invariant_survives_a_hostile_server(seed: int) -> None:
    """The mock's profile ``hostile``, every fault of it, a virtual hour at a full quota, with crashes and kills."""
    report = run(Storm(seed, pods=5, seconds=3600.0, every=60.0, profile="hostile"))
    assert report.faults() == []
    assert report.suffered > 30, "the server must have been hostile, or it has shown nothing"


@pytest.mark.parametrize("profile", ["outage", "flapping", "no-seats", "expired", "captive-portal"])
def test_every_invariant_survives_each_profile(profile: str) -> None:
    """The other profiles of the mock: when the calm comes, everybody has a seat and nobody two."""
    report = run(Storm(4, pods=5, seconds=1200.0, every=60.0, profile=profile))
    assert report.faults() == []


def test_a_run_replays_exactly() -> None:
    """The same seed gives the same history, request for request; another seed another one."""
    storm = Storm(77, pods=6, seconds=900.0, every=20.0)
    first, second = run(storm), run(storm)
    assert first.history == second.history
    assert first.requests == second.requests
    assert first.history != run(Storm(78, pods=6, seconds=900.0, every=20.0)).history
