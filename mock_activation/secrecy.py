"""How the mock shows keys: by fingerprint, and never otherwise.

The mock shares nothing with the sidecar, so it has its own few lines. Whatever text leaves this process beside the
answer to a request (journal, state, metrics, messages, tracebacks) passes through here first.
"""

from __future__ import annotations

import hashlib
import re
import traceback
from typing import Final

MASK: Final = "***"

# protocol.md section 1: seven or eight groups of four letters or digits, joined by "-".
_KEY_SHAPE: Final = re.compile(r"\b[A-Za-z0-9]{4}(?:(?:-|%2D)[A-Za-z0-9]{4}){6,7}\b", re.IGNORECASE)


FINGERPRINT_DIGITS: Final = 12


def digest(key: str) -> str:
    """Return the key's SHA-256 in hex digits: what a state file holds in its place, to know the key again."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def fingerprint(key: str) -> str:
    """Return the first 12 hex digits of the key's SHA-256: the only thing that is ever shown of it."""
    return digest(key)[:FINGERPRINT_DIGITS]


def mask(text: str) -> str:
    """Return the text without anything that looks like a key."""
    return _KEY_SHAPE.sub(MASK, text)


def where(error: BaseException) -> str:
    """Describe a bug by type and place: its message may hold a key (``KeyError`` does), so that is left out."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
