"""The kinds of values that settings have: one parser each, for file, environment and flags alike.

A parser takes the text as it was written and returns the value or raises ``ValueError`` with what is wrong and what to
write instead. It must not repeat the text: whoever reports the fault shows it, trimmed and masked, and an address is
never shown at all, for it may hold a password.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

from sidecar.core.servers import DEFAULT_PORTS, normalise
from sidecar.durations import format_duration, parse_duration

T = TypeVar("T")

_LARGEST_BUNDLE: Final = 16 * 1024 * 1024

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?", re.ASCII)
_NO_ID: Final = frozenset({"null", "none", "nil", "undefined"})


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How a value is read, shown and described.

    ``values`` describes for people what may be written, ``metavar`` in a word. ``secretive``: the text is not repeated
    in a fault.
    """

    parse: Callable[[str], T]
    values: str
    metavar: str
    show: Callable[[T], str] = str
    secretive: bool = False

    def read(self, text: str) -> T:
        """Return the value that the text means; raises ``ValueError``."""
        text = text.strip()
        if _CONTROL.search(text):
            message = "contains a control character or a line break"
            raise ValueError(message)
        return self.parse(text)


def duration(least: float, most: float, *, zero: str = "") -> Kind[float]:
    """Return the kind of a duration within bounds (seconds); ``zero`` says what 0 means where it is allowed."""
    bounds = f"{format_duration(least)} to {format_duration(most)}" + (f", 0 = {zero}" if zero else "")

    def parse(text: str) -> float:
        seconds = parse_duration(text)
        if not (least <= seconds <= most or (zero and seconds == 0)):
            message = f"out of range: write a duration of {bounds}"
            raise ValueError(message)
        return seconds

    return Kind(parse, f"duration, {bounds}", "DURATION", format_duration)


def integer(least: int, most: int, *, zero: str = "") -> Kind[int]:
    """Return the kind of a whole number within bounds; ``zero`` explains 0 to people."""
    bounds = f"{least} to {most}" + (f", 0 = {zero}" if zero else "")

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            message = f"not a whole number of {bounds}"
            raise ValueError(message)
        return int(text)

    return Kind(parse, f"number, {bounds}", "N")


_BOOLEANS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def boolean() -> Kind[bool]:
    """Return the kind of a switch."""

    def parse(text: str) -> bool:
        try:
            return _BOOLEANS[text.lower()]
        except KeyError:
            message = "neither true nor false"
            raise ValueError(message) from None

    return Kind(parse, "true, false", "BOOL", lambda value: "true" if value else "false")


E = TypeVar("E", bound=StrEnum)


def choice(words: type[E]) -> Kind[E]:
    """Return the kind of one word of a closed set, in any case of the letters."""

    def parse(text: str) -> E:
        try:
            return words(text.lower())
        except ValueError:
            raise ValueError(_not_among(text, tuple(words))) from None

    return Kind(parse, ", ".join(words), "|".join(words))


def choices(*words: str) -> Kind[tuple[str, ...]]:
    """Return the kind of a list of words of a closed set, separated by commas; the order is kept, repeats are not."""

    def parse(text: str) -> tuple[str, ...]:
        named = tuple(dict.fromkeys(word for part in text.lower().split(",") if (word := part.strip())))
        if not named:
            message = f"names nothing: write one or more of {', '.join(words)}"
            raise ValueError(message)
        for word in named:
            if word not in words:
                raise ValueError(_not_among(word, words))
        return named

    return Kind(parse, "list of " + ", ".join(words), "WORD,WORD", ", ".join)


def text() -> Kind[str]:
    """Return the kind of any text in one line, which may be empty."""
    return Kind(str, "text", "TEXT")


def name() -> Kind[str]:
    """Return the kind of a name that is also legal as a file's name; empty means "not known"."""

    def parse(text: str) -> str:
        if text and not _NAME.fullmatch(text):
            message = "not a name: write at most 253 letters, digits, '.', '_' or '-', a letter or digit at both ends"
            raise ValueError(message)
        return text

    return Kind(parse, "name", "NAME")


def folder() -> Kind[Path]:
    """Return the kind of a folder's path; whether it is there is seen when it is used."""

    def parse(text: str) -> Path:
        if not text:
            message = "is empty: write the path of a folder"
            raise ValueError(message)
        return Path(text)

    return Kind(parse, "folder", "DIR")


def content(path: Path, most: int, *, device: bool = False) -> bytes:
    """Return the beginning of a file without ever waiting for it; ``device``: ``/dev/null`` and its like are files too.

    Nobody may be there to write into a pipe, and whoever opens it would wait for ever. Raises ``OSError``, or
    ``ValueError`` for what is no regular file.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not (stat.S_ISREG(mode) or (device and stat.S_ISCHR(mode))):
        message = "this is no regular file (a pipe, a socket or a device): write the path of a file"
        raise ValueError(message)
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        parts: list[bytes] = []
        while most > 0 and (part := os.read(file, most)):
            parts.append(part)
            most -= len(part)
        return b"".join(parts)
    finally:
        os.close(file)


def readable_file() -> Kind[Path | None]:
    """Return the kind of a file that must be readable now if it is named at all."""

    def parse(text: str) -> Path | None:
        if not text:
            return None
        path = Path(text)
        try:
            if not content(path, 1):
                message = "this file is empty"
                raise ValueError(message)
        except OSError as error:
            message = f"this file cannot be read ({error.strerror}): mount it, or correct the path"
            raise ValueError(message) from error
        return path

    return Kind(parse, "file", "FILE", lambda path: "none" if path is None else str(path))


def certificates() -> Kind[Path | None]:
    """Return the kind of a file of CA certificates in PEM form that must be readable now if it is named at all."""
    kind = readable_file()

    def parse(text: str) -> Path | None:
        path = kind.parse(text)
        if path is not None and b"-----BEGIN " not in content(path, _LARGEST_BUNDLE):
            message = "this file holds no certificate: write the path of a PEM file with '-----BEGIN CERTIFICATE-----'"
            raise ValueError(message)
        return path

    return Kind(parse, "PEM file", "FILE", kind.show)


def deployment_id() -> Kind[str]:
    """Return the kind of a deployment ID; any form is taken, for none is published (protocol.md section 1)."""

    def parse(text: str) -> str:
        if text.lower() in _NO_ID:
            message = "is not a deployment ID (the app writes this while it has none)"
            raise ValueError(message)
        if re.search(r"\s", text):
            message = "contains white space: a deployment ID is one word, such as MSCL00000000000000000000000000000000"
            raise ValueError(message)
        return text

    return Kind(parse, "deployment ID", "ID", lambda value: value or "none")


def address() -> Kind[str]:
    """Return the kind of an http(s) URL; the value is the one spelling that ``core.servers`` gives it."""

    def parse(text: str) -> str:
        wish = "write scheme, host, port and an optional path prefix, such as https://licences.example.com:8443"
        if not text:
            raise ValueError(f"is empty: {wish}")
        if re.search(r"\s", text):
            raise ValueError(f"contains white space: {wish}")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError(f"is no URL, or its port is no port: {wish}") from None
        if parts.scheme not in DEFAULT_PORTS:
            raise ValueError(f"does not begin with http:// or https://: {wish}")
        if "@" in parts.netloc:
            raise ValueError("contains a user name or password, which would be logged: leave them out")
        if "?" in text or "#" in text:
            raise ValueError(f"contains a query or a fragment, which the sidecar itself adds where needed: {wish}")
        host = parts.hostname or ""
        if not _HOST.fullmatch(host) or port == 0 or parts.netloc.endswith(":"):
            raise ValueError(f"names no host, or an impossible one: {wish}")
        return normalise(text)

    return Kind(parse, "http(s) URL", "URL", secretive=True)


def _not_among(word: str, words: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only a fault needs it

    near = get_close_matches(word.lower(), words, n=1)
    return f"not one of {', '.join(words)}" + (f": did you mean {near[0]}?" if near else "")
