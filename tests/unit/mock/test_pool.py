"""The pool's answers, row by row (protocol.md section 1)."""

from dataclasses import fields

import pytest
import yaml

from mock_activation.answers import Outcome
from mock_activation.pool import Change, KeySpec, KeyState, Move, Pool
from mock_activation.secrecy import fingerprint
from mock_activation.switches import (
    POSITIONS,
    DeploymentIds,
    Phrases,
    Quantity,
    ReleaseBody,
    SamePair,
    Switches,
    UnknownPair,
)
from tests.unit.mock.vendor_client import KEY, A, B, C

KEY_OF_EIGHT = "ZZZZ-EFGH-IJKL-MNOP-QRST-UVWX-YZ01-0000"
# Parameters stand in the names of tests, so keys are named there, not shown.
KEYS = {None: None, "mine": KEY, "other": KEY_OF_EIGHT, "empty": "", "short": "ABCD-EFGH", "padded": f" {KEY}"}
SENTENCE = (
    "Could not activate your product because the {} you provided is invalid. "
    "Check if you typed it correctly or open a support ticket if problem persist."
)


def used(pool: Pool) -> int:
    """Return the seats taken of KEY."""
    return pool.used()[fingerprint(KEY)][0]


def test_activation_answers_a_licence_for_this_deployment() -> None:
    """The body is a YAML mapping with the fields that the product shows, the ID, and a signature marked as a mock."""
    answer = Pool({KEY: 1}).activate(KEY, A, "1", now=1_790_000_000.0)
    licence = yaml.safe_load(answer.body)
    assert (answer.status, answer.phrase, answer.outcome) == (200, "Ok", Outcome.ACTIVATED)
    assert licence["deployment"] == A
    assert licence["expiration"] == "09/21/2027"
    assert licence["licensed_engines"] == "*"
    assert {"product_id", "product_name", "licensed_to", "max_node_count"} < set(licence)
    assert "MOCK" in licence["mock_signature"]["note"]


def test_licence_keeps_awkward_texts() -> None:
    """Apostrophes and colons in names survive the way through YAML."""
    spec = KeySpec(1, licensed_to="O'Brien: sons & 'co'", licensed_engines=("a: b", "it's"), expires_at=4e12)
    licence = yaml.safe_load(Pool({KEY: spec}).activate(KEY, A, 1, now=0.0).body)
    assert licence["licensed_to"] == "O'Brien: sons & 'co'"
    assert licence["licensed_engines"] == ["a: b", "it's"]
    assert licence["expiration"] == "12/31/9999"


@pytest.mark.parametrize(
    ("key", "deployment", "quantity", "outcome", "parameter"),
    [
        (None, None, None, Outcome.INVALID_KEY, "Activation Key"),
        ("empty", A, "1", Outcome.INVALID_KEY, "Activation Key"),
        ("short", None, "x", Outcome.INVALID_KEY, "Activation Key"),
        ("padded", A, "1", Outcome.INVALID_KEY, "Activation Key"),
        ("mine", None, None, Outcome.INVALID_DEPLOYMENT, "Deployment ID"),
        ("mine", "", "0", Outcome.INVALID_DEPLOYMENT, "Deployment ID"),
        ("mine", "null", "1", Outcome.INVALID_DEPLOYMENT, "Deployment ID"),
        ("mine", A[:-1], "1", Outcome.INVALID_DEPLOYMENT, "Deployment ID"),
        ("mine", f"{A}\n", "1", Outcome.INVALID_DEPLOYMENT, "Deployment ID"),
        ("other", "null", "1", Outcome.INVALID_DEPLOYMENT, "Deployment ID"),
        ("mine", A, None, Outcome.INVALID_QUANTITY, "quantity"),
        ("mine", A, "0", Outcome.INVALID_QUANTITY, "quantity"),
        ("mine", A, "-1", Outcome.INVALID_QUANTITY, "quantity"),
        ("mine", A, "1.5", Outcome.INVALID_QUANTITY, "quantity"),
        ("mine", A, "9" * 5000, Outcome.INVALID_QUANTITY, "quantity"),
        ("other", A, "x", Outcome.INVALID_QUANTITY, "quantity"),
    ],
)
def test_malformed_parameters_in_the_order_key_deployment_quantity(
    key: str | None, deployment: str | None, quantity: str | None, outcome: Outcome, parameter: str
) -> None:
    """The first malformed parameter is named, in the documented sentence, and no seat is taken."""
    pool = Pool({KEY: 1})
    answer = pool.activate(KEYS[key], deployment, quantity, now=0.0)
    assert (answer.status, answer.phrase, answer.outcome) == (200, "Invalid parameter", outcome)
    assert answer.body == f"error: '{SENTENCE.format(parameter)}'\n".encode()
    assert used(pool) == 0


@pytest.mark.parametrize(
    ("spec", "outcome"),
    [
        (KeySpec(0), Outcome.NO_SEATS),
        (KeySpec(9, state=KeyState.UNKNOWN), Outcome.UNKNOWN_KEY),
        (KeySpec(9, state=KeyState.EXPIRED), Outcome.EXPIRED),
        (KeySpec(9, state=KeyState.SUSPENDED), Outcome.SUSPENDED),
        (KeySpec(9, expires_at=100.0), Outcome.EXPIRED),
        (None, Outcome.UNKNOWN_KEY),
    ],
)
def test_refusals_are_activation_failed_with_a_sentence(spec: KeySpec | None, outcome: Outcome) -> None:
    """Whatever is wrong with the licence lands in ``Activation failed``, as status 200 with an ``error``."""
    pool = Pool({KEY: 1} if spec is None else {KEY: spec})
    answer = pool.activate(KEY_OF_EIGHT if spec is None else KEY, A, "1", now=100.0)
    assert (answer.status, answer.phrase, answer.outcome) == (200, "Activation failed", outcome)
    assert set(yaml.safe_load(answer.body)) == {"error"}
    assert used(pool) == 0


def test_quota_counts_active_deployments_and_a_released_seat_is_free_at_once() -> None:
    """Two seats take two deployments, the third is refused until one of them is gone."""
    pool = Pool({KEY: 2})
    outcomes = [pool.activate(KEY, name, "1", now=0.0).outcome for name in (A, B, C)]
    outcomes += [pool.deactivate(KEY, A, now=1.0).outcome, pool.activate(KEY, C, "1", now=1.0).outcome]
    assert outcomes == [
        Outcome.ACTIVATED,
        Outcome.ACTIVATED,
        Outcome.NO_SEATS,
        Outcome.RELEASED,
        Outcome.ACTIVATED,
    ]
    assert [seat.deployment for seat in pool.view()[0].taken] == [B, C]


def test_same_pair_again_is_free_by_default() -> None:
    """It answers a licence, takes nothing, and is noted as contact."""
    pool = Pool({KEY: 1})
    for now in (1.0, 5.0):
        assert pool.activate(KEY, A, "1", now).outcome is Outcome.ACTIVATED
    (seat,) = pool.view()[0].taken
    assert (seat.taken_at, seat.last_contact, seat.units, used(pool)) == (1.0, 5.0, 1, 1)


def test_same_pair_again_consumes_by_switch() -> None:
    """Each activation takes a seat, the one that finds none is refused, one deactivation frees all."""
    pool = Pool({KEY: 2}, Switches(same_pair=SamePair.CONSUMES))
    outcomes = [pool.activate(KEY, A, "1", now=0.0).outcome for _ in range(3)]
    assert outcomes == [Outcome.ACTIVATED, Outcome.ACTIVATED, Outcome.NO_SEATS]
    assert used(pool) == 2
    assert pool.deactivate(KEY, A, now=1.0).outcome is Outcome.RELEASED
    assert used(pool) == 0


def test_quantity_takes_one_seat_by_default_and_as_many_by_switch() -> None:
    """A deployment ID is a seat; the switch lets it take ``quantity`` of them, and a smaller one gives none back."""
    pool = Pool({KEY: 3})
    pool.activate(KEY, A, "3", now=0.0)
    assert used(pool) == 1
    pool = Pool({KEY: 3}, Switches(quantity=Quantity.COUNTED))
    pool.activate(KEY, A, "2", now=0.0)
    assert pool.activate(KEY, B, "2", now=0.0).outcome is Outcome.NO_SEATS
    pool.activate(KEY, A, "1", now=0.0)
    assert used(pool) == 2
    assert pool.activate(KEY, A, "3", now=0.0).outcome is Outcome.ACTIVATED
    assert used(pool) == 3


@pytest.mark.parametrize(
    ("position", "status", "phrase", "body"),
    [
        (UnknownPair.NOT_FOUND, 404, "Not Found", "error"),
        (UnknownPair.ERROR, 200, "Deactivation failed", "error"),
        (UnknownPair.OK, 200, "Ok", "success"),
    ],
)
def test_deactivation_of_an_unknown_pair_by_switch(position: UnknownPair, status: int, phrase: str, body: str) -> None:
    """404 by default; never active, already released and an unknown key look the same."""
    pool = Pool({KEY: 1}, Switches(unknown_pair=position))
    pool.activate(KEY, A, "1", now=0.0)
    pool.deactivate(KEY, A, now=0.0)
    for key, name in ((KEY, A), (KEY, B), (KEY_OF_EIGHT, A)):
        answer = pool.deactivate(key, name, now=0.0)
        assert (answer.status, answer.phrase, answer.outcome) == (status, phrase, Outcome.NOT_ACTIVE)
        assert set(yaml.safe_load(answer.body)) == {body}


@pytest.mark.parametrize(("key", "name"), [(None, A), ("short", A), ("mine", None), ("mine", "null")])
def test_deactivation_with_malformed_parameters(key: str | None, name: str | None) -> None:
    """Answered like a malformed activation: 200 with an error."""
    answer = Pool({KEY: 1}).deactivate(KEYS[key], name, now=0.0)
    assert (answer.status, answer.phrase) == (200, "Invalid parameter")
    assert "error" in yaml.safe_load(answer.body)


@pytest.mark.parametrize("state", [KeyState.EXPIRED, KeyState.SUSPENDED])
def test_a_seat_can_be_given_back_under_a_key_that_no_longer_activates(state: KeyState) -> None:
    """An expired or suspended key still releases; only an unknown one does not know the pair."""
    pool = Pool({KEY: 1})
    pool.activate(KEY, A, "1", now=0.0)
    pool.put(KEY, KeySpec(1, state=KeyState.UNKNOWN))
    assert pool.deactivate(KEY, A, now=0.0).status == 404
    pool.put(KEY, KeySpec(1, state=state))
    assert pool.deactivate(KEY, A, now=0.0).outcome is Outcome.RELEASED


@pytest.mark.parametrize(
    ("position", "body"),
    [(ReleaseBody.JSON, b'{"success": true}'), (ReleaseBody.YAML, b"success: true\n"), (ReleaseBody.EMPTY, b"")],
)
def test_success_body_of_a_deactivation_by_switch(position: ReleaseBody, body: bytes) -> None:
    """Its form is not documented."""
    pool = Pool({KEY: 1}, Switches(release_body=position))
    pool.activate(KEY, A, "1", now=0.0)
    assert pool.deactivate(KEY, A, now=0.0).body == body


def test_any_deployment_ids_by_switch_but_never_a_key() -> None:
    """Free IDs are for the convenience of tests; a key sent in their place would be shown in the state."""
    pool = Pool({KEY: 9, "short": 1}, Switches(deployment_ids=DeploymentIds.ANY))
    outcomes = [
        pool.activate(KEY, name, "1", now=0.0).outcome for name in ("pod-1", "null", KEY_OF_EIGHT, "short", "a b")
    ]
    assert outcomes == [Outcome.ACTIVATED] + [Outcome.INVALID_DEPLOYMENT] * 4


def test_no_phrases_by_switch() -> None:
    """HTTP/2 and proxies drop reason phrases."""
    assert Pool({KEY: 1}, Switches(phrases=Phrases.OFF)).activate(KEY, A, "1", now=0.0).phrase == ""


def test_every_switch_can_be_named() -> None:
    """The command line and the control API are made from the table."""
    assert set(POSITIONS) == {field.name for field in fields(Switches)}


def test_changes_are_told_in_order_without_the_key() -> None:
    """Each seat taken and each seat freed is told once, with the count afterwards; refusals and repeats are not."""
    history: list[Change] = []
    pool = Pool({KEY: 2}, on_change=history.append)
    pool.activate(KEY, A, "1", now=1.0)
    pool.activate(KEY, A, "1", now=2.0)
    pool.activate(KEY, B, "1", now=3.0)
    pool.activate(KEY, C, "1", now=4.0)
    pool.deactivate(KEY, A, now=5.0)
    pool.deactivate(KEY, A, now=6.0)
    assert pool.force_release(fingerprint(KEY), B, now=7.0)
    mine = fingerprint(KEY)
    assert history == [
        Change(1.0, mine, A, Move.TAKEN, 1),
        Change(3.0, mine, B, Move.TAKEN, 2),
        Change(5.0, mine, A, Move.RELEASED, 1),
        Change(7.0, mine, B, Move.FORCED, 0),
    ]


def test_fewer_seats_than_taken_keeps_the_seats_and_takes_no_new_one() -> None:
    """Those above the new number stay until they are released."""
    pool = Pool({KEY: 2})
    pool.activate(KEY, A, "1", now=0.0)
    pool.activate(KEY, B, "1", now=0.0)
    assert pool.change(fingerprint(KEY), KeySpec(1))
    assert used(pool) == 2
    assert pool.activate(KEY, B, "1", now=0.0).outcome is Outcome.ACTIVATED
    pool.deactivate(KEY, A, now=0.0)
    assert pool.activate(KEY, C, "1", now=0.0).outcome is Outcome.NO_SEATS


def test_replacing_the_keys_keeps_the_seats_of_those_that_stay() -> None:
    """The seats of a removed key are gone, also when the key comes back."""
    pool = Pool({KEY: 2, KEY_OF_EIGHT: 2})
    pool.activate(KEY, A, "1", now=0.0)
    pool.activate(KEY_OF_EIGHT, B, "1", now=0.0)
    pool.replace({KEY: KeySpec(5)}, now=1.0)
    pool.put(KEY_OF_EIGHT, 2)
    assert pool.holds(fingerprint(KEY), A)
    assert not pool.holds(fingerprint(KEY_OF_EIGHT), B)
    assert pool.used() == {fingerprint(KEY): (1, 5), fingerprint(KEY_OF_EIGHT): (0, 2)}


def test_what_is_not_there_is_not_released_or_changed() -> None:
    """Unknown fingerprints and seats are told, not invented."""
    pool = Pool({KEY: 1})
    assert not pool.force_release(fingerprint(KEY), A, now=0.0)
    assert not pool.force_release("0" * 12, A, now=0.0)
    assert not pool.change("0" * 12, KeySpec(1))


@pytest.mark.parametrize(("text", "seats"), [("", 1), ("X", -1)])
def test_impossible_keys_are_programmer_errors(text: str, seats: int) -> None:
    """An empty key or a negative number of seats cannot be put."""
    with pytest.raises(ValueError, match="must not be empty"):
        Pool({text: seats})
