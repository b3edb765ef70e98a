"""The quick ``replace``: indistinguishable from the library's, for every class of the core."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from sidecar.core import commands, events, facts, policy, records, release, state
from sidecar.core.policy import Policy
from sidecar.core.records import Owner
from sidecar.core.replacement import replace
from sidecar.core.state import Held, LedgerView, State

CLASSES = [
    made
    for module in (commands, events, facts, policy, records, release, state)
    for _name, made in inspect.getmembers(module, inspect.isclass)
    if made.__module__ == module.__name__ and dataclasses.is_dataclass(made)
]


@pytest.mark.parametrize("made", CLASSES, ids=lambda made: f"{made.__module__}.{made.__qualname__}")
def test_no_class_checks_its_fields_when_it_is_made(made: type) -> None:
    """A copy that skips ``__init__`` is a whole one only if there is nothing but fields to set."""
    assert not hasattr(made, "__post_init__")
    assert all(field.init for field in dataclasses.fields(made))


def test_it_makes_what_the_library_makes() -> None:
    """Changed fields are changed, all others kept, the original untouched."""
    before = State(policy=Policy(server="https://activation.example", owner=Owner(pod="a", uid="b")))
    after = replace(before, next_op=7, ledger=LedgerView(listed=True))
    assert after == dataclasses.replace(before, next_op=7, ledger=LedgerView(listed=True))
    assert before.next_op == 1
    assert after.policy is before.policy


def test_a_class_with_one_field_is_copied_too() -> None:
    """One field is no special case to the caller."""
    assert replace(Held(1.0), since=2.0) == Held(2.0)
    assert replace(Held(1.0)) == Held(1.0)


def test_a_field_that_does_not_exist_is_an_error() -> None:
    """A slip of the pen must not be kept as a new attribute."""
    with pytest.raises(AttributeError):
        replace(Held(1.0), until=2.0)  # type: ignore[call-arg]


def test_copies_are_frozen() -> None:
    """A copy is a value like the original."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(Held(1.0), since=2.0).since = 3.0  # type: ignore[misc]
