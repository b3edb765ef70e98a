"""The text of one seat record in the file ledger: versioned JSON, checked field by field when it is read.

Pure: bytes in, values out. It must not trust what it reads (a volume is shared, files get torn, newer versions write
newer formats), and a fault names fields only, never what stood in them.
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, fields
from typing import Final, NoReturn

from sidecar.core.records import Claim, Identity, Owner, Phase, SeatRecord, Stored

FORMAT: Final = 1
LARGEST: Final = 64 * 1024
"""Bytes: a record takes less than 2 KiB; whatever is larger than this was not written by us."""


class Unreadable(ValueError):  # noqa: N818 - a finding, told as a stray; never an end in itself
    """The text is no seat record of this format; the message is a sentence for people."""


def encode(stored: Stored) -> bytes:
    """Return the file's text: indented, because people look at these files when something is wrong."""
    content = {"format": FORMAT, "version": stored.version, "record": asdict(stored.record)}
    return json.dumps(content, indent=1).encode() + b"\n"


def decode(name: str, text: bytes) -> Stored:
    """Return the record that stands in the file of the record called ``name``.

    Raises ``Unreadable`` for torn, foreign and too new texts, and for a record that stands under another's name.
    """
    if len(text) > LARGEST:
        raise Unreadable(f"it is larger than {LARGEST} bytes")
    try:
        content = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        fault = "it is empty" if not text.strip() else "it is torn, or no JSON"
        raise Unreadable(fault) from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise Unreadable("it is JSON, but no seat record (no `format`)")
    if content["format"] > FORMAT:
        raise Unreadable(f"it has format {content['format']}: a newer version of this program wrote it")
    if content["format"] != FORMAT:
        raise Unreadable(f"it has format {content['format']}, which never was")
    stored = Stored(record=_record(_mapping(content, "record")), version=_text(content, "version"))
    if not stored.version:
        raise Unreadable("`version` is empty")
    if stored.name != name:
        raise Unreadable("it holds the record of another seat: was it copied or renamed?")
    return stored


def _record(content: dict[str, object]) -> SeatRecord:
    try:
        phase = Phase(_text(content, "phase"))
    except ValueError as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("`phase` is none that this version knows") from error
    claim = None if content.get("claim") is None else _mapping(content, "claim")
    return SeatRecord(
        identity=Identity(**_texts(_mapping(content, "identity"), Identity)),
        owner=Owner(**_texts(_mapping(content, "owner"), Owner)),
        phase=phase,
        open=_flag(content, "open"),
        unknown=_flag(content, "unknown"),
        claim=None if claim is None else Claim(by=_text(claim, "by"), at=_seconds(claim, "at")),
        created_at=_seconds(content, "created_at"),
        renewed_at=_seconds(content, "renewed_at"),
    )


def _mapping(content: dict[str, object], field: str) -> dict[str, object]:
    value = content.get(field)
    if not isinstance(value, dict):
        raise Unreadable(f"`{field}` is missing or no mapping")
    return value


def _texts(content: dict[str, object], kind: type[Identity | Owner]) -> dict[str, str]:
    """Return the fields of a dataclass that consists of texts; what has a default may be missing."""
    known = fields(kind)
    return {it.name: _text(content, it.name) for it in known if it.name in content or it.default is MISSING}


def _text(content: dict[str, object], field: str) -> str:
    value = content.get(field)
    if not isinstance(value, str):
        raise Unreadable(f"`{field}` is missing or no text")
    return value


def _flag(content: dict[str, object], field: str) -> bool:
    value = content.get(field)
    if not isinstance(value, bool):
        raise Unreadable(f"`{field}` is missing or neither true nor false")
    return value


def _seconds(content: dict[str, object], field: str) -> float:
    value = content.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable(f"`{field}` is missing or no number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise Unreadable(f"`{field}` is no time")
    return seconds


def _no_constant(_text: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")
