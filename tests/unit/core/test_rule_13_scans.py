"""Rule 13: a fleet of any size lists about once in a quarter of a lease."""

from itertools import pairwise

import pytest

from sidecar.core.policy import failed_scan_pause, scan_pause

LEASE = 60.0


def round_of(size: int, rank: int, wall: float = 1e9, luck: float = 0.5) -> float:
    """Return the wall time of the next scan of one of ``size`` sidecars."""
    return wall + scan_pause(LEASE, rank, size, wall, waiting=False, luck=luck)


@pytest.mark.parametrize("size", [2, 10, 1000])
def test_rule_13_the_looks_of_a_fleet_are_even(size: int) -> None:
    """Each takes its turn in a round that all read off the clock: no gap is longer than half a lease."""
    times = sorted(round_of(size, rank) for rank in range(size))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= LEASE / 2
    assert times[-1] - times[0] == pytest.approx(LEASE / 4 * size, rel=0.6)


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize("luck", [0.0, 0.999])
def test_rule_13_one_sidecar_scans_once_a_round(size: int, luck: float) -> None:
    """Never at once again, never later than one round and half a turn."""
    pause = scan_pause(LEASE, 0, size, 1234.5, waiting=False, luck=luck)
    interval = max(LEASE / 2, LEASE / 4 * size)
    assert LEASE / 8 <= pause <= interval + LEASE / 8


def test_rule_13_who_waits_for_a_seat_scans_every_quarter_of_a_lease_itself() -> None:
    """However large the fleet is."""
    assert 15.0 <= scan_pause(LEASE, 5, 1000, 1e9, waiting=True, luck=0.999) <= 15.7


def test_rule_13_scans_that_fail_become_rarer_and_never_come_together() -> None:
    """A fleet that lost the API server together must not come back to it at one moment; three leases are the most."""
    pauses = [(failed_scan_pause(LEASE, count, 0.0), failed_scan_pause(LEASE, count, 0.999)) for count in range(1, 50)]
    assert pauses[0] == (pytest.approx(7.5), pytest.approx(22.5, abs=0.1))
    assert all(most >= 2.9 * least for least, most in pauses)
    assert [least for least, _ in pauses] == sorted(least for least, _ in pauses)
    assert pauses[-1][1] <= 3 * LEASE
