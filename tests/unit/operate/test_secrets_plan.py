"""What becomes of a Secret: given values win, missing ones are generated, and no licence key is ever lost."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.operate.generated import api_key_fault
from sidecar.operate.secrets_plan import Doing, Kind, Wanted, given_value, hidden, keys_in, revise
from sidecar.secrets import Secret

A, B, C = ("-".join(f"{letter}{number:03d}" for number in range(8)) for letter in "ABC")
GENERATED, SET, KEPT, EXTENDED = Doing.GENERATED, Doing.SET, Doing.KEPT, Doing.EXTENDED


def revised(
    kind: Kind, held: dict[str, str] | None = None, **values: str
) -> tuple[dict[str, str], dict[str, Doing], str]:
    """Return data, doings and warnings of a revision."""
    wanted = Wanted(name="it", kind=kind, given={name: value.encode() for name, value in values.items()})
    revision = revise(wanted, {name: value.encode() for name, value in (held or {}).items()}, Random(1))
    data = {name: value.decode() for name, value in revision.data.items()}
    return data, dict(revision.doings), " ".join(revision.warnings)


def test_an_absent_api_key_is_generated() -> None:
    """By the vendor's rule."""
    data, doings, warnings = revised(Kind.API_KEY)
    assert (doings, warnings) == ({"value": GENERATED}, "")
    assert api_key_fault(data["value"]) == ""


def test_an_api_key_that_is_there_stays_though_it_breaks_the_rule() -> None:
    """The database learned it: it is warned about, not replaced."""
    data, doings, warnings = revised(Kind.API_KEY, {"value": "of the vendor's chart"})
    assert (data, doings) == ({"value": "of the vendor's chart"}, {"value": KEPT})
    assert "breaks the vendor's rule" in warnings


def test_a_given_api_key_replaces_the_stored_one_with_a_warning() -> None:
    """Whoever gives one means it, and must know what the database does."""
    data, doings, warnings = revised(Kind.API_KEY, {"value": "a1b2c3d4e5f6" * 3}, value="b1a2c3d4e5f6" * 3)
    assert (data["value"][0], doings) == ("b", {"value": SET})
    assert "database learned it once" in warnings


@pytest.mark.parametrize(("kind", "user"), [(Kind.CREDENTIALS, "admin"), (Kind.DATABASE, "mdicapsrv")])
def test_credentials_are_completed(kind: Kind, user: str) -> None:
    """What is given is set, what is missing or empty is generated, what is there stays, also what nobody asked for."""
    data, doings, _ = revised(kind)
    assert (data["user"], doings) == (user, {"user": GENERATED, "password": GENERATED})
    assert len(data["password"]) == 32
    data, doings, _ = revised(kind, {"user": "me", "password": "", "more": "x"}, user="you", port="5432")
    assert (data["user"], data["more"], data["port"]) == ("you", "x", "5432")
    assert doings == {"user": SET, "password": GENERATED, "port": SET}
    assert revised(kind, data, user="you")[0] == data


def test_an_opaque_secret_gets_what_is_given_and_nothing_else() -> None:
    """Nothing is made up for it."""
    assert revised(Kind.OPAQUE) == ({}, {}, "")
    assert revised(Kind.OPAQUE, {"a": "1", "b": "2"}, a="1", c="3") == (
        {"a": "1", "b": "2", "c": "3"},
        {"a": KEPT, "c": SET},
        "",
    )


@pytest.mark.parametrize(
    ("held", "values", "data", "doings"),
    [
        ({}, {}, {}, {}),
        ({}, {"value": A}, {"value": A}, {"value": SET}),
        ({"value": A}, {}, {"value": A}, {"value": KEPT}),
        ({"value": f" {A}\n"}, {"value": A}, {"value": f" {A}\n"}, {"value": KEPT}),
        ({"value": "<SET_LICENSE_KEY_HERE>"}, {}, {"value": "<SET_LICENSE_KEY_HERE>"}, {}),
        ({"value": "SET_LICENSE_KEY_HERE"}, {"value": A}, {"value": A}, {"value": SET}),
        ({"value": ""}, {"value": A}, {"value": A}, {"value": SET}),
        ({"value": A}, {"value": B}, {"value": B, "previous": A}, {"value": SET, "previous": SET}),
        (
            {"value": B, "previous": A},
            {"value": C},
            {"value": C, "previous": f"{B}\n{A}"},
            {"value": SET, "previous": EXTENDED},
        ),
        # back to the former one: the current key is never among the former ones
        ({"value": B, "previous": A}, {"value": A}, {"value": A, "previous": B}, {"value": SET, "previous": EXTENDED}),
        ({"value": A, "previous": B}, {"previous": B}, {"value": A, "previous": B}, {"value": KEPT, "previous": KEPT}),
        (
            {"value": A, "previous": B},
            {"previous": f"{C}\n{A}"},
            {"value": A, "previous": f"{C}\n{B}"},
            {"value": KEPT, "previous": EXTENDED},
        ),
        (
            {"value": B, "previous": f"# bought in 2024\n{A}\n\n{A}"},
            {"value": C},
            {"value": C, "previous": f"{B}\n# bought in 2024\n{A}\n"},
            {"value": SET, "previous": EXTENDED},
        ),
        # two keys in `value` are no key, but both may hold seats
        ({"value": f"{A}\n{B}"}, {}, {"value": f"{A}\n{B}"}, {"value": KEPT}),
        ({"value": f"{A}\n{B}"}, {"value": C}, {"value": C, "previous": f"{A}\n{B}"}, {"value": SET, "previous": SET}),
        ({"value": A, "note": "mine"}, {"value": A}, {"value": A, "note": "mine"}, {"value": KEPT}),
    ],
)
def test_a_licence_key_is_given_or_absent_and_former_ones_are_kept(
    held: dict[str, str], values: dict[str, str], data: dict[str, str], doings: dict[str, Doing]
) -> None:
    """A replaced key goes to the front of ``previous``, once; placeholders are no keys and go nowhere."""
    assert revised(Kind.LICENSE, held, **values)[:2] == (data, doings)


def test_a_fingerprint_is_all_that_is_told_of_a_key() -> None:
    """Of the current one and of the one that was moved."""
    wanted = Wanted(name="it", kind=Kind.LICENSE, given={"value": B.encode()})
    revision = revise(wanted, {"value": A.encode()}, Random(1))
    assert (revision.key, revision.former) == (Secret(B).fingerprint, (Secret(A).fingerprint,))
    assert not {A, B} & {word for text in (repr(revision), repr(wanted)) for word in text.split("'")}


KEYS = st.sampled_from([A, B, C, "<SET_LICENSE_KEY_HERE>", ""])


@given(st.lists(KEYS), st.lists(st.tuples(KEYS, st.lists(KEYS, max_size=3))), st.binary(max_size=5))
def test_whatever_is_given_one_after_the_other_no_key_is_lost(
    first: list[str], steps: list[tuple[str, list[str]]], odd: bytes
) -> None:
    """After any number of upgrades every key that was ever there is there, once, and the last given one is current."""
    held = {"value": "\n".join(first[:1]).encode(), "previous": "\n".join(first[1:]).encode(), "odd": odd}
    ever = set(keys_in("\n".join(first)))
    for key, more in steps:
        given = {
            "value": given_value(Kind.LICENSE, "value", key.encode()),
            "previous": given_value(Kind.LICENSE, "previous", "\n".join(more).encode()),
        }
        wanted = Wanted(name="it", kind=Kind.LICENSE, given={name: it for name, it in given.items() if it})
        revision = revise(wanted, held, Random(1))
        ever |= set(keys_in(f"{key}\n" + "\n".join(more)))
        data = {name: value.decode(errors="surrogateescape") for name, value in revision.data.items()}
        current, former = keys_in(data.get("value", "")), keys_in(data.get("previous", ""))
        assert set(current) | set(former) == ever
        assert len(former) == len(set(former))
        assert not set(current) & set(former)
        assert current == [key] or not given["value"]
        assert revise(wanted, revision.data, Random(2)).data == revision.data
        assert revision.data["odd"] == odd
        held = dict(revision.data)


def test_what_is_no_text_is_kept_as_it_is() -> None:
    """A value of another encoding is moved byte by byte."""
    odd = b"caf\xe9"
    wanted = Wanted(name="it", kind=Kind.LICENSE, given={"value": A.encode()})
    revision = revise(wanted, {"value": odd, "previous": b"t\xeb"}, Random(1))
    assert revision.data == {"value": A.encode(), "previous": odd + b"\n" + b"t\xeb"}


@pytest.mark.parametrize(
    ("kind", "field", "content", "meant"),
    [
        (Kind.API_KEY, "value", b"\xef\xbb\xbf abc \r\n", b"abc"),
        (Kind.CREDENTIALS, "password", b" a b \r\n", b" a b "),
        (Kind.CREDENTIALS, "password", b"x\n", b"x"),
        (Kind.DATABASE, "password", b"\n", b""),
        (Kind.LICENSE, "value", b"<set_license_key_here>\n", b""),
        (Kind.LICENSE, "value", f"\n{A}\n".encode(), A.encode()),
        (Kind.LICENSE, "previous", f"# x\r\n{A}\r\n\r\n  {B}".encode(), f"{A}\n{B}".encode()),
        (Kind.OPAQUE, "file", b"\xff\x00\n", b"\xff\x00\n"),
    ],
)
def test_a_given_value_is_what_was_meant(kind: Kind, field: str, content: bytes, meant: bytes) -> None:
    """What an editor adds is no part of it; of a password every blank is, of an opaque value every byte."""
    assert given_value(kind, field, content) == meant


@pytest.mark.parametrize(
    ("kind", "content", "fault"),
    [
        (Kind.LICENSE, f"{A}\n{B}".encode(), "several lines, and one is wanted; former keys go into previous"),
        (Kind.CREDENTIALS, b"a\nb", "several lines"),
        (Kind.API_KEY, b"\xff", "no UTF-8 text"),
    ],
)
def test_a_value_that_cannot_be_meant_is_told_without_it(kind: Kind, content: bytes, fault: str) -> None:
    """The sentence has nothing of the value, and no exception behind it has either."""
    with pytest.raises(ValueError) as told:
        given_value(kind, "value", content)
    assert fault in str(told.value)
    assert A not in str(told.value)
    assert told.value.__context__ is None


def test_user_names_are_not_hidden() -> None:
    """A masked ``admin`` would make sentences unreadable; everything else is hidden, keys one by one."""
    cred = Wanted(name="it", kind=Kind.CREDENTIALS)
    assert set(hidden(cred, {"user": b"admin", "password": b" secret"})) == {"secret", " secret"}
    key = Wanted(name="it", kind=Kind.LICENSE)
    assert set(hidden(key, {"value": A.encode(), "previous": f"# c\n{B}".encode()})) == {A, B}
