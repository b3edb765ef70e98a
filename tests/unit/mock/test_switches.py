"""Every assumption in each of its positions."""

import pytest

from mock_activation.answers import Answer, Outcome
from mock_activation.effects import REFUSALS
from mock_activation.pool import KeySpec, KeyState, Pool
from mock_activation.switches import (
    POSITIONS,
    BadRelease,
    ContentTypes,
    DeadKeyRelease,
    KeyStateCheck,
    MaxNodeCount,
    Missing,
    MissingQuantity,
    RefusalTexts,
    ReleaseBody,
    Switches,
    UnknownKey,
    ValidationOrder,
)
from tests.unit.mock.vendor_client import KEY, OTHER_KEY, A

PARAMETERS = {
    "key": Outcome.INVALID_KEY,
    "deployment": Outcome.INVALID_DEPLOYMENT,
    "quantity": Outcome.INVALID_QUANTITY,
}


def line(answer: Answer) -> tuple[int, str, Outcome]:
    """Return what tells answers apart."""
    return answer.status, answer.phrase, answer.outcome


def test_each_switch_is_a_field_with_its_positions() -> None:
    """The table that options and control API are made from is complete, and every default is a position."""
    assert set(POSITIONS) == {name for name in Switches.__slots__ if not name.startswith("_")}
    assert [name for name, kind in POSITIONS.items() if not isinstance(getattr(Switches(), name), kind)] == []


@pytest.mark.parametrize("order", ValidationOrder)
def test_the_first_wrong_parameter_of_the_order_is_told(order: ValidationOrder) -> None:
    """All three are wrong: the first of the order; the others are told as the ones before become right."""
    pool = Pool({KEY: 1}, Switches(validation_order=order))
    right = {"key": KEY, "deployment": A, "quantity": "1"}
    said = dict.fromkeys(right, "?")
    for name in order.split("-"):
        answer = pool.activate(said["key"], said["deployment"], said["quantity"], 0.0)
        assert answer.outcome is PARAMETERS[name]
        said[name] = right[name]
    assert pool.activate(said["key"], said["deployment"], said["quantity"], 0.0).outcome is Outcome.ACTIVATED


@pytest.mark.parametrize(
    ("check", "outcome"),
    [(KeyStateCheck.LAST, Outcome.INVALID_DEPLOYMENT), (KeyStateCheck.WITH_KEY, Outcome.EXPIRED)],
)
def test_a_dead_key_with_a_malformed_id(check: KeyStateCheck, outcome: Outcome) -> None:
    """The key's state is told last, or as soon as the key is well-formed; an unknown key like an expired one."""
    pool = Pool({KEY: KeySpec(1, KeyState.EXPIRED)}, Switches(key_state_check=check))
    assert pool.activate(KEY, "?", "1", 0.0).outcome is outcome
    unknown = pool.activate(OTHER_KEY, "?", "1", 0.0).outcome
    assert (unknown is Outcome.UNKNOWN_KEY) == (check is KeyStateCheck.WITH_KEY)


@pytest.mark.parametrize(
    ("missing", "status", "phrase"),
    [
        (Missing.INVALID, 200, "Invalid parameter"),
        (Missing.FAILED, 200, "Activation failed"),
        (Missing.BAD_REQUEST, 400, "Bad Request"),
    ],
)
def test_missing_parameters(missing: Missing, status: int, phrase: str) -> None:
    """A parameter that is not there, in each position; a malformed one is always ``Invalid parameter``."""
    pool = Pool({KEY: 1}, Switches(missing=missing))
    for asked, outcome in (
        ((None, A, "1"), Outcome.INVALID_KEY),
        ((KEY, None, "1"), Outcome.INVALID_DEPLOYMENT),
        ((KEY, A, None), Outcome.INVALID_QUANTITY),
    ):
        assert line(pool.activate(*asked, 0.0)) == (status, phrase, outcome)
    assert line(pool.activate(KEY, "", "1", 0.0)) == (200, "Invalid parameter", Outcome.INVALID_DEPLOYMENT)
    assert line(pool.deactivate(KEY, None, 0.0)) == (status, phrase, Outcome.INVALID_DEPLOYMENT)


def test_a_missing_quantity_may_be_one() -> None:
    """By switch an activation without quantity takes one seat."""
    pool = Pool({KEY: 1}, Switches(missing_quantity=MissingQuantity.ONE))
    assert pool.activate(KEY, A, None, 0.0).outcome is Outcome.ACTIVATED
    assert pool.activate(KEY, A, "", 0.0).outcome is Outcome.INVALID_QUANTITY


def test_an_unknown_key_may_be_an_invalid_one() -> None:
    """By switch a key that was never issued is answered like a malformed one, letter by letter."""
    pool = Pool({KEY: 1}, Switches(unknown_key=UnknownKey.INVALID))
    unknown, malformed = pool.activate(OTHER_KEY, A, 1, 0.0), pool.activate("?", A, 1, 0.0)
    assert (unknown.phrase, unknown.body) == (malformed.phrase, malformed.body)
    assert unknown.outcome is Outcome.UNKNOWN_KEY


@pytest.mark.parametrize("texts", RefusalTexts)
def test_refusals_have_their_own_sentences_or_one_for_all(texts: RefusalTexts) -> None:
    """Five reasons: five sentences, or one."""
    pool = Pool({KEY: 1}, Switches(refusal_texts=texts))
    answers = [pool.activate(KEY, A, 1, 0.0, as_if=outcome) for outcome in REFUSALS]
    assert [line(answer) for answer in answers] == [(200, "Activation failed", outcome) for outcome in REFUSALS]
    assert len({answer.body for answer in answers}) == (len(REFUSALS) if texts is RefusalTexts.TELLING else 1)


@pytest.mark.parametrize(("bad", "status"), [(BadRelease.INVALID, 200), (BadRelease.NOT_FOUND, 404)])
def test_malformed_deactivations(bad: BadRelease, status: int) -> None:
    """As in an activation, or 404."""
    pool = Pool({KEY: 1}, Switches(bad_release=bad))
    assert line(pool.deactivate("?", A, 0.0))[0::2] == (status, Outcome.INVALID_KEY)
    assert line(pool.deactivate(KEY, "null", 0.0))[0::2] == (status, Outcome.INVALID_DEPLOYMENT)


@pytest.mark.parametrize("state", [KeyState.EXPIRED, KeyState.SUSPENDED, KeyState.WRONG_PRODUCT])
def test_dead_keys_give_seats_back_or_not(state: KeyState) -> None:
    """Allowed by default; by switch it is a 200 with an error, and the seat stays taken."""
    for position, released in ((DeadKeyRelease.REFUSED, False), (DeadKeyRelease.ALLOWED, True)):
        pool = Pool({KEY: 1}, Switches(dead_key_release=position))
        pool.activate(KEY, A, 1, 0.0)
        pool.put(KEY, KeySpec(1, state))
        answer = pool.deactivate(KEY, A, 0.0)
        assert (answer.outcome is Outcome.RELEASED) is released
        assert answer.status == 200
        assert answer.body.startswith(b"error:") is not released
        assert [used for used, _ in pool.used().values()] == [0 if released else 1]


def test_a_key_of_another_product_is_refused() -> None:
    """It exists, and opens nothing here."""
    pool = Pool({KEY: KeySpec(5, KeyState.WRONG_PRODUCT)})
    assert line(pool.activate(KEY, A, 1, 0.0)) == (200, "Activation failed", Outcome.WRONG_PRODUCT)


@pytest.mark.parametrize(("position", "number"), [(MaxNodeCount.QUANTITY, "3"), (MaxNodeCount.SEATS, "7")])
def test_max_node_count(position: MaxNodeCount, number: str) -> None:
    """The quantity that was asked for, or the seats of the key."""
    body = Pool({KEY: 7}, Switches(max_node_count=position)).activate(KEY, A, 3, 0.0).body
    assert f"max_node_count: '{number}'".encode() in body


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (ContentTypes.PLAUSIBLE, {"text/yaml", "application/json"}),
        (ContentTypes.OCTET_STREAM, {"application/octet-stream"}),
        (ContentTypes.HTML, {"text/html"}),
    ],
)
def test_content_types(types: ContentTypes, said: set[str]) -> None:
    """What is plausible, or one type for all answers."""
    pool = Pool({KEY: 1}, Switches(content_types=types, release_body=ReleaseBody.JSON))
    answers = [pool.activate(KEY, A, 1, 0.0), pool.activate("?", A, 1, 0.0), pool.deactivate(KEY, A, 0.0)]
    assert {answer.content_type for answer in answers} == said


def test_as_if_full_keeps_the_seats_that_are_taken() -> None:
    """A fault that says "no seats" refuses new deployments only, and takes nothing."""
    pool = Pool({KEY: 2})
    pool.activate(KEY, A, 1, 0.0)
    assert pool.activate(KEY, A, 1, 1.0, as_if=Outcome.NO_SEATS).outcome is Outcome.ACTIVATED
    assert pool.activate(KEY, A[:-1] + "f", 1, 1.0, as_if=Outcome.NO_SEATS).outcome is Outcome.NO_SEATS
    assert [used for used, _ in pool.used().values()] == [1]
