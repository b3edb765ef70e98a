"""What is generated satisfies the rules that it is generated for, whatever the dice say."""

from __future__ import annotations

import re
from itertools import groupby
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.operate.generated import api_key, api_key_fault, password

GOOD = "a1b2c3d4e5f6" * 3


def by_the_words(text: str) -> bool:
    """Judge an API key by the sentence of protocol.md, counted in another way than the code does."""
    kinds = ["letter" if it in "abcdef" else "digit" if it in "0123456789" else "other" for it in text]
    runs = [len(list(run)) for _, run in groupby(kinds)]
    return (
        len(text) == 36
        and "other" not in kinds
        and min(kinds.count("letter"), kinds.count("digit")) >= 10
        and max(runs) <= 3
    )


@given(st.integers())
def test_every_api_key_follows_the_vendors_rule(seed: int) -> None:
    """36 of 0-9a-f, ten of each kind at least, no four of a kind in a row."""
    assert by_the_words(api_key(Random(seed)))


@given(st.text(alphabet="abcdef0123456789", min_size=34, max_size=38))
def test_a_fault_is_found_exactly_where_the_words_say_so(text: str) -> None:
    """The rule as code and the rule as counted here agree."""
    assert (api_key_fault(text) == "") == by_the_words(text)


KEYS = {
    "one short": GOOD[:-1],
    "one more": GOOD + "a",
    "upper case": GOOD.upper(),
    "no hex": "g" + GOOD[1:],
    "four letters in a row": "abcd" + GOOD[4:],
    "four digits in a row": "1234" + GOOD[4:],
    "twelve letters": "a12b12c12" * 4,
    "twelve digits": "1ab2cd3ef" * 4,
    "nothing": "",
}


@pytest.mark.parametrize("text", KEYS.values(), ids=KEYS.keys())
def test_a_key_that_breaks_the_rule_in_one_point_is_told(text: str) -> None:
    """Length, alphabet, rows; of twelve letters and twenty-four digits nothing is wrong, nor of the reverse."""
    fault = api_key_fault(text)
    assert (fault == "") == by_the_words(text)
    assert by_the_words(GOOD)
    assert not fault or "36 characters" in fault


@given(st.integers())
def test_every_password_has_what_policies_ask_for(seed: int) -> None:
    """32 characters: a letter first, both cases, a digit, a mark that neither URL nor shell interprets."""
    text = password(Random(seed))
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{31}", text)
    assert all(re.search(one, text) for one in ("[A-Z]", "[a-z]", "[0-9]", "[._-]"))


def test_two_are_never_the_same() -> None:
    """A hundred of each, of one source of randomness."""
    random = Random(1)
    assert len({make(random) for make in (api_key, password) for _ in range(100)}) == 200
