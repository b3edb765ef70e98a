"""The benchmark's arithmetic: what its table says must be what was measured."""

from __future__ import annotations

import pytest

from tests.bench.figures import Figure, percentile, shown, table


@pytest.mark.parametrize(
    ("samples", "at", "expected"),
    [
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0], 0.5, 1.5),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([5.0], 0.99, 5.0),
    ],
)
def test_percentiles(samples: list[float], at: float, expected: float) -> None:
    """The median is the usual one; other percentiles are a sample that was really seen."""
    assert percentile(samples, at) == expected


def test_a_target_is_a_ceiling_or_a_floor() -> None:
    """What has no target, or was not measured, is neither met nor missed."""
    assert Figure("a", "latency", "ms", [10.0], target=10.0).met is True
    assert Figure("a", "latency", "ms", [10.1], target=10.0).met is False
    assert Figure("a", "rate", "/s", [10.1], target=10.0, floor=True).met is True
    assert Figure("a", "rate", "/s", [9.9], target=10.0, floor=True).met is False
    assert Figure("a", "rate", "/s", [9.9]).met is None
    assert Figure("a", "rate", "/s", target=10.0).met is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (0.00123, "0.00123"), (1.5, "1.50"), (45.6, "45.6"), (3849.7, "3,850"), (None, "-")],
)
def test_three_digits_matter(value: float | None, expected: str) -> None:
    """More digits would pretend a precision that a busy machine does not have."""
    assert shown(value) == expected


def test_the_table_keeps_areas_together_and_says_what_was_missed() -> None:
    """Figures of one area stand together even if they were measured at different times."""
    text = table(
        [Figure("one", "slow", "s", [3.0], target=2.0), Figure("two", "b", "s", [1.0]), Figure("one", "c", "s")]
    )
    lines = [line.split() for line in text.splitlines() if line]
    assert [line[0] for line in lines[1:]] == ["ONE", "slow", "c", "TWO", "b"]
    assert "MISSED" in lines[2]
    assert "MISSED" not in lines[5]
