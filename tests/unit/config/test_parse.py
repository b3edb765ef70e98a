"""The kinds of values: what is taken, what is refused, and with which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import parse
from sidecar.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("15", 15),
        ("1.5", 1.5),
        ("500ms", 0.5),
        ("15s", 15),
        ("5m", 300),
        ("24h", 86400),
        ("2d", 172800),
        (" 3 s ", 3),
    ],
)
def test_durations_are_seconds_or_have_a_unit(text: str, seconds: float) -> None:
    """Seconds are the unit where none is written."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "+1", "1e3", "nan", "inf", "1m30s", "1:30", "1_0", "1,5", "٣", "5 weeks", "9" * 20]
)
def test_what_python_would_take_for_a_number_is_still_no_duration(text: str) -> None:
    """Signs, exponents, not-a-number, underscores and foreign digits are mistakes."""
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(st.floats(min_value=0, max_value=10_000_000).map(lambda value: round(value, 3)))
def test_a_duration_shown_is_read_back(seconds: float) -> None:
    """Whatever unit is chosen for people, the value is the same."""
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0"), (0.05, "0.05s"), (90, "90s"), (120, "2m"), (86400, "24h"), (172800, "2d")]
)
def test_durations_are_shown_in_the_unit_that_people_use(seconds: float, shown: str) -> None:
    """The largest unit without a fraction; a day is 24h, as the design writes it."""
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://Activation.Example.COM:443/", "https://activation.example.com"),
        ("HTTP://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/prefix/", "http://[::1]:8080/prefix"),
        ("http://mock_server", "http://mock_server"),
    ],
)
def test_addresses_have_one_spelling(text: str, address: str) -> None:
    """Records name their server: two spellings of one must be equal."""
    assert parse.address().read(text) == address


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("activation.example.com", "does not begin with http"),
        ("ftp://host", "does not begin with http"),
        ("https://", "names no host"),
        ("https://host:", "names no host"),
        ("https://host:0", "names no host"),
        ("https://host:99999", "its port is no port"),
        ("https://host:port", "its port is no port"),
        ("https://[::1", "is no URL"),
        ("https://ho st", "white space"),
        ("https://höst", "names no host"),
        ("https://host/?key=1", "a query or a fragment"),
        ("https://host/?", "a query or a fragment"),
        ("https://host/#a", "a query or a fragment"),
        ("https://user@host", "a user name or password"),
        ("https://user:word@host", "a user name or password"),
        ("https://host\n.example.com", "control character"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(text: str, fault: str) -> None:
    """An address may hold a password, so the fault says what is wrong and not what was written."""
    kind = parse.address()
    assert kind.secretive
    with pytest.raises(ValueError, match=fault) as caught:
        kind.read(text)
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("ON", True),
        ("Yes", True),
        ("1", True),
        ("false", False),
        ("off", False),
        ("no", False),
        ("0", False),
    ],
)
def test_switches_take_the_usual_words(text: str, value: bool) -> None:
    """In any case of the letters."""
    assert parse.boolean().read(text) is value


@pytest.mark.parametrize("text", ["", "2", "enabled", "y"])
def test_other_words_are_no_switch(text: str) -> None:
    """Nothing is taken for false by accident."""
    with pytest.raises(ValueError, match="neither true nor false"):
        parse.boolean().read(text)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1_0", "65536", "٣", "0x1", "9" * 30])
def test_numbers_are_plain_and_within_bounds(text: str) -> None:
    """A port is 0 to 65535."""
    with pytest.raises(ValueError, match="not a whole number of 0 to 65535"):
        parse.integer(0, 65535).read(text)


def test_zero_is_taken_only_where_it_means_something() -> None:
    """0 = never is said in the fault as well."""
    assert parse.duration(1, 10, zero="never").read("0") == 0
    with pytest.raises(ValueError, match="1s to 10s, 0 = never"):
        parse.duration(1, 10, zero="never").read("0.5")
    with pytest.raises(ValueError, match="out of range"):
        parse.duration(1, 10).read("0")


@pytest.mark.parametrize("text", ["../x", "a/b", ".hidden", "a b", "x" * 254, "-x"])
def test_a_name_is_fit_for_a_file(text: str) -> None:
    """The instance's name becomes a file's name in the ledger's folder."""
    with pytest.raises(ValueError, match="not a name"):
        parse.name().read(text)


@pytest.mark.parametrize("text", ["null", "None", "two words"])
def test_what_the_app_writes_without_an_id_is_no_deployment_id(text: str) -> None:
    """protocol.md section 1: null and the like are not IDs."""
    with pytest.raises(ValueError, match="deployment ID"):
        parse.deployment_id().read(text)


def test_a_list_must_name_something() -> None:
    """An empty list would make everything ready."""
    kind = parse.choices("license", "engines")
    with pytest.raises(ValueError, match="names nothing"):
        kind.read(" , ")
    with pytest.raises(ValueError, match="did you mean engines"):
        kind.read("license, engine")


def test_files_must_be_readable_now(tmp_path: Path) -> None:
    """A missing, empty or impossible file is told when the program starts, not when it is needed."""
    kind = parse.readable_file()
    assert kind.read("") is None
    for path, fault in ((tmp_path / "absent", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ValueError, match=fault):
            kind.read(str(path))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="empty"):
        kind.read(str(tmp_path / "file"))
    (tmp_path / "file").write_text("x")
    assert kind.read(str(tmp_path / "file")) == tmp_path / "file"
    with pytest.raises(ValueError, match="control character"):
        kind.read("a\0b")


@pytest.mark.parametrize("kind", [parse.readable_file(), parse.certificates()], ids=["file", "certificates"])
def test_BOUNDED_STOP_a_pipe_is_not_waited_for(tmp_path: Path, kind: parse.Kind[Path | None]) -> None:  # noqa: N802
    """Opening a pipe into which nobody writes would hang for ever, before the loop stands."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(ValueError, match="no regular file"):
            kind.read(str(path))


def test_certificates_must_look_like_certificates(tmp_path: Path) -> None:
    """A key or a DER file in the place of the PEM file is told at once."""
    kind = parse.certificates()
    path = tmp_path / "ca.pem"
    path.write_bytes(b"\x30\x82")
    with pytest.raises(ValueError, match="holds no certificate"):
        kind.read(str(path))
    trustme.CA().cert_pem.write_to_path(path)
    assert kind.read(str(path)) == path
    assert kind.show(None) == "none"
