"""What the settings become on their way into the core."""

from __future__ import annotations

import pytest

from sidecar.config import Surroundings, load
from sidecar.core.policy import Policy, outage_pause, refusal_pause
from sidecar.core.reasons import Failure
from sidecar.core.records import Owner
from sidecar.wiring import policy_of


def policy(**flags: str) -> Policy:
    """Return the core's numbers for these settings of the activation server."""
    around = Surroundings(environ={}, host_name="host-1")
    config = load({f"activation.{name}": text for name, text in flags.items()}, surroundings=around)
    return policy_of(config, Owner(pod="host-1", uid="uid"))


@pytest.mark.parametrize(
    ("flags", "base", "cap"),
    [
        ({"retry_base": "2m"}, 60, 60),
        ({"retry_cap": "0.5"}, 0.5, 0.5),
        ({"retry_base": "0"}, 0.1, 60),
        ({"retry_cap": "0"}, 0.1, 0.1),
        ({"retry_base": "0.05", "retry_cap": "0"}, 0.05, 0.1),
    ],
)
def test_the_longest_pause_counts_for_the_first_as_well(flags: dict[str, str], base: float, cap: float) -> None:
    """Whoever shortens only one of the two means it."""
    made = policy(**flags)
    assert (made.retry_base, made.retry_cap) == (base, cap)


def test_BOUNDED_LOAD_no_pause_is_nothing() -> None:  # noqa: N802 - the invariant's name
    """0 means as often as is decent, whatever the dice say."""
    made = policy(retry_base="0", retry_cap="0", refused_retry="0")
    assert min(outage_pause(made, failures, 0.0) for failures in range(1, 40)) >= 0.01
    assert refusal_pause(made, Failure.EXPIRED, 1, 0.0) >= 0.9
