"""The arithmetic of ``python -m tests.bench.scale``: what stands in docs/scale.md must not be a slip of the pen."""

from __future__ import annotations

import pytest

from tests.bench.scale.model import bytes_a_second, expected
from tests.bench.scale.planted import Cost
from tests.bench.scale.scans import pace

COSTS = [
    Cost(size, name, 1, 1.0, received, 0, 1.0, 1.0)
    for size in (10, 1000)
    for name, received in (
        ("renew the record", 5000),
        ("look at the own pod", 7000),
        ("list the records", 200 * size),
        ("list the owners", 100 * size),
    )
]


@pytest.mark.parametrize("size", [2, 10, 100, 1000])
def test_BOUNDED_LOAD_of_scans(size: int) -> None:  # noqa: N802 - the invariant's name
    """A settled fleet of any size lists four times in a lease, and nobody goes without a look for much longer."""
    it = pace(size, 60.0)
    assert it.steady == pytest.approx(4.0, rel=0.02)
    assert it.longest_pause < 1.25 * 60.0 / 4


def test_a_start_settles() -> None:
    """Everybody scans once at the start; the fleet that started at once is calm within the hour."""
    it = pace(1000, 60.0)
    assert 1000 <= it.first_minute < 1100
    assert it.first_hour < 20


def test_the_formula_is_renewals_and_a_constant() -> None:
    """Ten times the sidecars renew ten times as often; scans stay as they are but for the pages of a longer list."""
    small, large = expected(100, lease=60.0, renew=15.0), expected(1000, lease=60.0, renew=15.0)
    assert large.renew == pytest.approx(10 * small.renew)
    assert (small.list_records, large.list_records) == pytest.approx((4 / 60, 2 * 4 / 60))
    assert (small.look_at_pods, large.look_at_pods) == pytest.approx((4 / 60, 4 / 60))
    alone = expected(1, lease=60.0, renew=15.0)
    assert (alone.list_records, alone.list_owners) == pytest.approx((2 / 60, 0.0))


def test_bytes_follow_what_was_measured() -> None:
    """Between two sizes the nearer one counts, beyond the largest what grows grows on, and what does not stays."""
    rates = {"lease": 60.0, "renew": 15.0}
    listed = 4 / 60 * (300 * 1000 + 7000)
    assert bytes_a_second(1000, COSTS, **rates) == pytest.approx(1000 / 15.3 * 5000 + listed + 1000 / 210 * 7000)
    listed = 4 / 60 * (300 * 10_000 + 7000)
    assert bytes_a_second(10_000, COSTS, **rates) == pytest.approx(10_000 / 15.3 * 5000 + listed + 10_000 / 210 * 7000)
