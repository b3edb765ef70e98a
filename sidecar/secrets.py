"""Secrets that cannot be printed by accident, and the masking of what is printed all the same.

A ``Secret`` is not a ``str``: formatting it, logging it or putting it into an exception shows only its fingerprint.
Whoever needs the text says ``reveal()``, which is easy to grep for.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Self
from urllib.parse import quote, quote_plus

MASK: Final = "***"

# protocol.md section 1: seven or eight groups of four letters or digits, joined by "-"; any such text is masked, even
# if it never was a key of ours (a library may log a key that somebody else configured).
_KEY_SHAPE: Final = re.compile(r"\b[A-Za-z0-9]{4}(?:(?:-|%2D)[A-Za-z0-9]{4}){6,7}\b", re.IGNORECASE)
_QUERY_KEY: Final = re.compile(r"(?i)\b(key|apikey|activationKey|password|session_id)(=|\"?\s*:\s*\"?|'\s*:\s*'?)[^&\s\"',}\]]+")


class Secret:
    """A text that shows itself only on request."""

    __slots__ = ("_fingerprint", "_text")

    def __init__(self, text: str) -> None:
        """Keep the text; its fingerprint is computed once."""
        self._text = text
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()[:12]

    def reveal(self) -> str:
        """Return the text itself, for a request to its one addressee."""
        return self._text

    @property
    def fingerprint(self) -> str:
        """Return the first 12 hex digits of the text's SHA-256: the only thing that is ever shown of it."""
        return self._fingerprint

    def __repr__(self) -> str:
        """Show the fingerprint only."""
        return f"Secret({self._fingerprint})"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        """Show the fingerprint only, whatever the format asks for."""
        return repr(self)

    def __eq__(self, other: object) -> bool:
        """Compare by text."""
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        """Hash by fingerprint."""
        return hash(self._fingerprint)

    def __reduce__(self) -> str:
        """Refuse to be pickled or copied into anything."""
        message = "a Secret is not pickled"
        raise TypeError(message)


class Masker:
    """Replaces registered secrets, in every form in which they may appear, and everything that looks like a key."""

    def __init__(self) -> None:
        """Start with patterns only."""
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secret: Secret) -> Self:
        """Mask this secret from now on: as it is, URL-encoded, and in any case of its letters."""
        text = secret.reveal()
        forms = {form for form in (text, quote(text, safe=""), quote_plus(text)) if form}
        if not forms <= self._forms:
            self._forms |= forms
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(form) for form in longest_first), re.IGNORECASE)
        return self

    def mask(self, text: str) -> str:
        """Return the text without any secret."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        text = _KEY_SHAPE.sub(MASK, text)
        return _QUERY_KEY.sub(rf"\1\2{MASK}", text)


MASKER: Final = Masker()
"""The process-wide masker: a secret is registered where it is read, and every log line passes through it."""
