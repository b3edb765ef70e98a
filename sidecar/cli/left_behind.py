"""Reads deployment IDs that older automation left behind, in the forms that ``import --help`` describes.

The format of the vendor's Secret is not published (protocol.md section 3), so every plausible form is taken, and what
is no ID is told and skipped. A message never repeats a value that does not look like an ID: it may be a key.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from sidecar.operate.takeover import LeftBehind

LARGEST: Final = 16 * 1024 * 1024
_LONGEST_ID: Final = 200
_NONE: Final = frozenset({"", "null", "none", "nil", "~", "undefined"})
"""What the app and the vendor's scripts write while there is no ID (protocol.md section 1)."""
_PAIR: Final = re.compile(r"(?P<pod>[^\s:=]+)\s*[:=]\s*(?P<id>.*)")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KEY: Final = re.compile(r"[A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4}){5,}")


class UnreadableIds(Exception):  # noqa: N818 - what it is, in the words of the message
    """The file cannot be read as a list of IDs; the message is a sentence without anything of its content."""


def read(source: str, form: str) -> tuple[LeftBehind, ...]:
    """Return the IDs of a file, a mounted Secret's folder, or standard input (``-``). Raises ``UnreadableIds``.

    ``form`` is ``auto``, ``secret`` (a mapping of pod names to IDs is insisted on) or ``list`` (one ID a line).
    """
    if source != "-" and Path(source).is_dir():
        return tuple(_folder(Path(source)))
    return tuple(entries(_text(source), form))


def entries(text: str, form: str) -> Iterator[LeftBehind]:
    """Yield the IDs of a text. Raises ``UnreadableIds``."""
    if form == "list":
        yield from (_entry("", line) for _, line in _lines(text))
        return
    pairs = _structured(text)
    if pairs is not None:
        for pod, value in pairs:
            if form == "secret" and not pod:
                raise UnreadableIds("it is a list, not a mapping of pod names to IDs (--format auto takes both)")
            yield _entry(pod, value)
        return
    for number, line in _lines(text):
        pair = _PAIR.fullmatch(line)
        if pair is not None:
            yield _entry(pair["pod"], pair["id"].strip().strip("\"'"))
        elif form == "secret":
            raise UnreadableIds(f"line {number} is neither name=ID nor name: ID (--format auto takes plain IDs too)")
        else:
            yield _entry("", line)


def fault_of(text: str) -> str:
    """Return why a text is no deployment ID, in words that complete "it"; empty if it may be one."""
    if text.casefold() in _NONE:
        return "is empty or null: there was no ID yet"
    if _KEY.fullmatch(text):
        return "looks like an activation key, not like a deployment ID"
    if len(text) > _LONGEST_ID or _ID.fullmatch(text) is None:
        return "is no deployment ID (letters, digits, '.', '_' and '-')"
    return ""


def _entry(pod: str, value: str | None) -> LeftBehind:
    if value is None:
        return LeftBehind("-", pod, "is a structure, not an ID")
    text = value.strip()
    fault = fault_of(text)
    return LeftBehind("-" if fault else text, pod, fault, empty=text.casefold() in _NONE)


def _folder(path: Path) -> Iterator[LeftBehind]:
    """Read a mounted Secret: one file for each pod, or files that hold a whole list."""
    try:
        files = sorted(it for it in path.iterdir() if not it.name.startswith(".") and it.is_file())
    except OSError as error:
        raise UnreadableIds(f"{path}: {error.strerror}") from error
    for file in files:
        found = list(entries(_text(str(file)), "auto"))
        if len(found) == 1 and not found[0].pod:
            yield replace(found[0], pod=file.name)
        else:
            yield from found


def _text(source: str) -> str:
    try:
        if source == "-":
            raw = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(source).open("rb") as file:
                raw = file.read(LARGEST + 1)
    except OSError as error:
        raise UnreadableIds(f"{source}: {error.strerror}") from error
    if len(raw) > LARGEST:
        raise UnreadableIds(f"{source}: it is larger than {LARGEST} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    if text is None:  # raised out here: the decoder's error holds the content and would be the context
        raise UnreadableIds(f"{source}: it is no UTF-8 text")
    return text


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if content and not content.startswith("#"):
            yield number, content


def _structured(text: str) -> list[tuple[str, str | None]] | None:
    """Return (pod, value) of a JSON or YAML mapping or list, None if the text is neither.

    The nodes are read, not the objects: a mapping would silently lose the first of two equal names, and the numbers
    and dates of YAML are IDs here. JSON is YAML enough for this.
    """
    import yaml  # noqa: PLC0415 - of all commands only this one needs it

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    match root:
        case yaml.MappingNode():
            return _mapping(_pairs(root))
        case yaml.SequenceNode():
            return [("", _scalar(node)) for node in root.value]
        case _:
            return None


def _mapping(pairs: list[tuple[str, object]]) -> list[tuple[str, str | None]]:
    """Return the pairs of a plain mapping, or of ``data`` and ``stringData`` of a Secret's manifest."""
    fields = dict(pairs)
    if _scalar(fields.get("kind")) != "Secret":
        return [(pod, _scalar(node)) for pod, node in pairs]
    encoded = [(pod, _decoded(_scalar(node))) for pod, node in _pairs(fields.get("data"))]
    return [*encoded, *((pod, _scalar(node)) for pod, node in _pairs(fields.get("stringData")))]


def _pairs(node: object) -> list[tuple[str, object]]:
    value = getattr(node, "value", None)
    if not isinstance(value, list):
        return []
    return [(_scalar(pair[0]) or "", pair[1]) for pair in value if isinstance(pair, tuple)]


def _scalar(node: object) -> str | None:
    value = getattr(node, "value", None)
    return value if isinstance(value, str) else None


def _decoded(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return base64.b64decode(value, validate=True).decode().strip()
    except (binascii.Error, ValueError):
        return "?"  # is told as no ID
