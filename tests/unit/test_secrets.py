"""Secrets do not show themselves, and the masker finds them in whatever became of them."""

from __future__ import annotations

import copy
import html
import itertools
import json
import pickle
import traceback
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.secrets import MASK, Masker, Secret

KEY = "A1B2-C3D4-E5F6-G7H8-J9K0-L1M2-N3P4"
API_KEY = "9a8b7c6d5e4f9a8b7c6d5e4f9a8b7c6d5e4f"
PASSWORD = "pä\"ss\\w0rd&<more>'of=it"


def leaks(text: str, secret: str = KEY) -> bool:
    """Tell whether two groups of the key, or eight characters of another secret, can still be read."""
    low = text.lower()
    if "-" in secret:
        groups = secret.lower().split("-")
        return sum(group in low for group in groups) > 1
    return any(secret.lower()[start : start + 8] in low for start in range(len(secret) - 7))


SPELLINGS = {
    "plain": KEY,
    "lower case": KEY.lower(),
    "mixed case": KEY.swapcase().capitalize(),
    "as a query": urlencode({"key": KEY, "deployment": "MSCL1"}),
    "encoded dashes": KEY.replace("-", "%2D"),
    "encoded dashes in lower case": KEY.replace("-", "%2d"),
    "encoded twice": KEY.replace("-", "%252D"),
    "right behind an encoded =": f"key%3D{KEY}",
    "right behind an escaped line break": f"\\n{KEY}\\n",
    "right behind an escaped character": f"\\u000a{KEY}",
    "JSON escapes": KEY.replace("-", "\\u002d"),
    "JSON escapes in JSON": json.dumps(KEY.replace("-", "\\u002d")),
    "repr escapes": KEY.replace("-", "\\x2d"),
    "HTML": KEY.replace("-", "&#45;"),
    "bytes": repr(KEY.encode()),
    "bytes of a mapping": repr({b"key": KEY.encode()}),
    "an exception": repr(ValueError(f"bad key {KEY!r}", KEY.encode())),
    "an eighth group": f"{KEY}-Q5R6",
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_NO_SECRET_what_looks_like_a_key_is_masked_though_nobody_registered_it(text: str) -> None:  # noqa: N802 - the invariant's name
    """A key that somebody else configured, spelt in any way, is masked by its shape."""
    assert not leaks(Masker().mask(f"before {text} after"))


@pytest.mark.parametrize(
    "text",
    [
        *SPELLINGS.values(),
        KEY.replace("-", ""),
        KEY[:12],
        KEY[:22],
        KEY[3:],
        KEY[-14:],
        f"...&key={KEY[:17]}",
    ],
    ids=itertools.count(),  # a name made of the text would show the key
)
def test_NO_SECRET_a_registered_key_is_masked_even_in_part(text: str) -> None:  # noqa: N802 - the invariant's name
    """Somebody may have cut the text in the middle of the key, or have left out its dashes."""
    assert not leaks(Masker().register(Secret(KEY)).mask(f"before {text} after"))


@pytest.mark.parametrize("secret", [API_KEY, PASSWORD], ids=["API key", "password"])
@pytest.mark.parametrize(
    "spell",
    [
        str,
        str.upper,
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="").lower(),
        lambda text: quote(quote(text)),
        quote_plus,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps({"inner": json.dumps(text)}),
        repr,
        lambda text: repr(text.encode()),
        lambda text: json.dumps(repr(text)),
        html.escape,
        lambda text: text[:11],
        lambda text: f"'{text}'",
        lambda text: "".join(traceback.format_exception_only(KeyError(text))),
    ],
)
def test_NO_SECRET_any_registered_secret_is_masked_however_it_is_escaped(spell, secret: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001, N802 - a callable of strings
    """URL, JSON, repr and HTML escapes are seen through; so is a text that was cut."""
    masked = Masker().register(Secret(secret)).mask(f"before {spell(secret)} after")
    assert not leaks(masked, secret)
    assert MASK in masked
    assert masked.startswith("before ")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GET https://host/activation?key=short&deployment=MSCL1 done", "deployment=MSCL1 done"),
        ('{"apikey": "two words", "deployment": "MSCL1"}', '"deployment": "MSCL1"}'),
        (r"{\"apikey\": \"two words\", \"deployment\": 1}", r"\"deployment\": 1}"),
        ("[(b'apikey', b'0123'), (b'host', b'h')]", "(b'host', b'h')]"),
        ("apikey: 0123456789abcdef next", " next"),
        ("Authorization: Bearer abcdefghij next", " next"),
        ("{'authorization': 'Basic dXNlcjpwYXNz'}", "'}"),
        ("LICENSE_KEY=something next", " next"),
        ("activationKey%3Dsomething%26x", "%26x"),
        ("'session_id': 'abc123'", "'"),
    ],
)
def test_NO_SECRET_values_behind_telling_names_are_masked(text: str, kept: str) -> None:  # noqa: N802 - the invariant's name
    """A header, a query, JSON and the repr of pairs give the value away by its name; what follows stays readable."""
    masked = Masker().mask(text)
    assert MASK in masked
    assert kept in masked
    for word in ("short", "two words", "0123", "abcdefghij", "dXNl", "something", "abc123"):
        assert word not in masked.replace(kept, "")


def test_a_sentence_that_ends_with_the_word_key_masks_nothing() -> None:
    """What follows it in JSON is the name of another field, and must stay readable."""
    line = json.dumps({"event": "seat under an unknown key", "logger": "sidecar"})
    assert Masker().mask(line) == line


@pytest.mark.parametrize(
    "address", ["http://user:pa55word@proxy:3128/x", "https://user:pa55@word@proxy", "http://pa55word@proxy"]
)
def test_NO_SECRET_addresses_lose_their_user_and_password(address: str) -> None:  # noqa: N802 - the invariant's name
    """A proxy's address may hold a password; its host stays."""
    masked = Masker().mask(f"connecting to {address} failed")
    assert "pa55" not in masked
    assert "@proxy" in masked


@pytest.mark.parametrize(
    "text",
    [
        "seat-0123456789abcdef0123456789abcdef01234567 is active",
        "deployment MSCL00000000000000000000000000000000",
        "pod uid 6f1c1f0e-1111-4222-8333-944445555666",
        "key: the folder /run/secrets/license is empty",
        "key.rotation=activate-first",
        "key=0123456789ab",
        '{"key": "0123456789ab", "key_fingerprint": "0123456789ab"}',
        "key=Secret(0123456789ab)",
        "https://activation.dl.opswat.com/activation?mail=a@b",
        "monkey=banana",
        "2026-11-23T17:20:00.123456Z",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    """Fingerprints, IDs, record names and sentences are what logs are for."""
    masker = Masker().register(Secret(KEY)).register(Secret(API_KEY + "x"))
    assert masker.mask(text) == text


def test_a_secret_of_a_few_letters_does_not_make_the_logs_unreadable() -> None:
    """Empty and tiny "secrets" are not registered."""
    masker = Masker().register(Secret("")).register(Secret("a"))
    assert masker.mask("a banana") == "a banana"


def test_registering_again_changes_nothing() -> None:
    """The key folder is polled every few seconds: the pattern must not grow."""
    masker = Masker().register(Secret(KEY))
    before = masker._pattern
    assert masker.register(Secret(KEY))._pattern is before


@given(st.text(max_size=200))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    """A text that went through once passes the second time unchanged."""
    masker = Masker().register(Secret(KEY))
    once = masker.mask(text)
    assert masker.mask(once) == once


@given(
    secret=st.text(min_size=4, max_size=40).filter(lambda text: text.strip() == text),
    before=st.text(alphabet="xyz /", max_size=9),
    spell=st.sampled_from([str, repr, json.dumps, lambda text: quote(text.encode(errors="surrogatepass"), safe="")]),
)
def test_NO_SECRET_a_registered_secret_is_never_left_whole(secret: str, before: str, spell) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001, N802 - a callable of strings
    """Whatever the secret is made of, no spelling of it survives masking."""
    spelt = spell(secret)
    assert spelt.strip("'\"") not in Masker().register(Secret(secret)).mask(f"{before}{spelt} ").replace(MASK, "")


def test_a_secret_shows_only_its_fingerprint() -> None:
    """Neither repr, str, format, an f-string nor a container shows the text."""
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {secret!s:>40} {[secret]} { ({'a': secret}) } {'%s' % secret}"  # noqa: UP031 - one of the ways
    assert not leaks(shown)
    assert secret.fingerprint in shown
    assert len(secret.fingerprint) == 12


def test_a_secret_is_neither_copied_nor_pickled() -> None:
    """Nothing can carry the text elsewhere unseen."""
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not pickled"):
            attempt(Secret(KEY))
    assert not hasattr(Secret(KEY), "__dict__")


def test_secrets_compare_by_text() -> None:
    """The same key read twice is the same key."""
    assert Secret(KEY) == Secret(KEY)
    assert len({Secret(KEY), Secret(KEY), Secret(API_KEY)}) == 2
    assert Secret(KEY) != KEY


def test_a_broken_text_still_has_a_fingerprint() -> None:
    """A file that is not UTF-8 may be read with surrogates; an error of the encoder would hold the key."""
    assert len(Secret("key\udc80").fingerprint) == 12
