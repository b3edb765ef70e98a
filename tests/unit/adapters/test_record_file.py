"""The text of one record: what is written is read again, and nothing else is taken for a record."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.record_file import LARGEST, Unreadable, decode, encode
from sidecar.core.records import Claim, Identity, Owner, Phase, SeatRecord, Stored

STORED = Stored(
    SeatRecord(
        Identity("https://activation.example", "0123456789ab", "MSCL1"), Owner("web-0", "u1"), Phase.ACTIVE, open=False
    ),
    "1-aa",
)
SECONDS = st.floats(allow_nan=False, allow_infinity=False)
RECORDS = st.builds(
    SeatRecord,
    identity=st.builds(Identity, st.text(), st.text(), st.text()),
    owner=st.builds(Owner, *[st.text()] * 7),
    phase=st.sampled_from(Phase),
    open=st.booleans(),
    unknown=st.booleans(),
    claim=st.none() | st.builds(Claim, st.text(), SECONDS),
    created_at=SECONDS,
    renewed_at=SECONDS,
)


@given(record=RECORDS)
@settings(max_examples=60)
def test_every_record_survives(record: SeatRecord) -> None:
    """All fields come back as they were, whatever texts and times stand in them."""
    stored = Stored(record, "7-abc")
    assert decode(stored.name, encode(stored)) == stored


@given(cut=st.integers(0, len(encode(STORED)) - 3))
@settings(max_examples=60)
def test_no_torn_record_is_read(cut: int) -> None:
    """Wherever a text was cut off, it is no record."""
    with pytest.raises(Unreadable):
        decode(STORED.name, encode(STORED)[:cut])


@given(text=st.binary(max_size=200))
@settings(max_examples=60)
def test_no_foreign_text_breaks_the_reader(text: bytes) -> None:
    """Arbitrary bytes are unreadable, and raise nothing else."""
    with pytest.raises(Unreadable):
        decode(STORED.name, text)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"format": 2}, "newer version"),
        ({"format": 0}, "never was"),
        ({"format": "1"}, "no `format`"),
        ({"version": ""}, "`version` is empty"),
        ({"version": 3}, "`version`"),
        ({"record": []}, "`record`"),
    ],
)
def test_another_frame_is_no_record(changes: dict[str, object], fault: str) -> None:
    """Another format, and a frame whose fields make no sense, are refused with a reason."""
    content = json.loads(encode(STORED)) | changes
    with pytest.raises(Unreadable, match=fault):
        decode(STORED.name, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"phase": "asleep"}, "`phase` is none"),
        ({"phase": 1}, "`phase` is missing or no text"),
        ({"open": 1}, "`open`"),
        ({"claim": {"by": "x"}}, "`at`"),
        ({"claim": []}, "`claim`"),
        ({"created_at": True}, "`created_at`"),
        ({"renewed_at": 10**400}, "`renewed_at` is no time"),
        ({"owner": {"pod": "web-0"}}, "`uid`"),
        ({"identity": {}}, "`server`"),
        ({"identity": {"server": "other", "key_fingerprint": "0123456789ab", "deployment_id": "MSCL1"}}, "another"),
    ],
)
def test_another_record_is_no_record(changes: dict[str, object], fault: str) -> None:
    """Fields of a wrong type, unknown phases and the record of another seat are refused with a reason."""
    content = json.loads(encode(STORED))
    content["record"] |= changes
    with pytest.raises(Unreadable, match=fault):
        decode(STORED.name, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"[" * LARGEST, "torn"),
        (b"\xff\xfe{}", "torn"),
        (encode(STORED).replace(b"0.0", b"NaN"), "torn"),
        (b" " * (LARGEST + 1), "larger"),
        (b'"seat"', "no `format`"),
    ],
)
def test_a_text_that_is_no_record_is_told_why(text: bytes, fault: str) -> None:
    """Empty, endless, deep and non-JSON texts are refused with a reason."""
    with pytest.raises(Unreadable, match=fault):
        decode(STORED.name, text)


def test_fields_of_a_later_version_are_passed_over() -> None:
    """Within one format, an unknown field does no harm, and one that has a default may be missing."""
    content = json.loads(encode(STORED))
    content["record"]["later"] = 1
    del content["record"]["owner"]["boot"]
    assert decode(STORED.name, json.dumps(content).encode()) == STORED
