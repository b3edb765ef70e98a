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

# What stands between the groups of a key once URL, JSON, HTML or repr has had its way with "-".
_DASH: Final = r"(?:-|%(?:25)*2D|\\+u002d|\\+x2d|&#(?:45|x2d);)"
# protocol.md section 1: seven or eight groups of four letters or digits, joined by "-"; any such text is masked, even
# if it never was a key of ours (a library may log a key that somebody else configured). No word boundary before it:
# "%3D" or an escaped line break may stand right before a key.
_KEY_SHAPE: Final = rf"[A-Z0-9]{{4}}(?:{_DASH}[A-Z0-9]{{4}}){{6,}}"
# A value that stands behind one of these names, as header, JSON, repr, query or pair. Twelve hex digits are a
# fingerprint and stay, as a Secret's own repr does.
_NAMES: Final = (
    r"(?:(?:api|activation|licen[cs]e)[-_]?key|password|session_id|(?:proxy-)?authorization|(?:set-)?cookie|key)"
)
_FINGERPRINT: Final = r"(?![0-9a-f]{12}(?![0-9a-z])|Secret\(|\*\*\*)"
_QUOTE: Final = r"\\*[\"']"
_NAMED: Final = (
    # "apikey": "...", 'apikey', b'...', \"apikey\": \"...\"
    # With a comma only where it begins a text: a sentence may end with "key", and another text may follow it.
    rf"(?P<quoted>(?:\b{_NAMES}{_QUOTE}\s*[:=]|\b(?<!\s){_NAMES}{_QUOTE}\s*,)\s*b?{_QUOTE}){_FINGERPRINT}[^\"'\\]+"
    # key=..., key%3D...
    rf"|(?P<query>\b{_NAMES}(?:=|%(?:25)*3D)\\*[\"']?){_FINGERPRINT}(?:(?!%(?:25)*26)[^\s&\"'\\,;)}}\]])+"
    # a line of a header; "key: ..." alone is too common in sentences
    rf"|(?P<header>\b(?:api[-_]?key|(?:proxy-)?authorization|(?:set-)?cookie):\s*(?:(?:basic|bearer)\s+)?)"
    rf"{_FINGERPRINT}[^\s\"'\\,]{{8,}}"
)
# user:password@ of an address
_USER: Final = r"(?P<scheme>://)[^\s/?#\"'<>@]+(?:@[^\s/?#\"'<>@]+)*(?=@)"
# A JSON web token (RFC 7519), as service accounts have: it begins with the base64 of `{"` and rotates, so it is not
# registered.
_WEB_TOKEN: Final = r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*"  # noqa: S105 - a pattern of tokens
_PATTERNS: Final = f"{_KEY_SHAPE}|{_NAMED}|{_USER}|{_WEB_TOKEN}"
_SHORTEST: Final = 4
"""A shorter secret is none, and masking it would leave no readable line."""
_SHORTEST_PART: Final = 8
"""Of a longer secret a beginning of this length is masked too: somebody may have cut the text."""
_GROUPS: Final = re.compile(r"[A-Z0-9]{4}(?:-[A-Z0-9]{4})+", re.IGNORECASE)


class Secret:
    """A text that shows itself only on request."""

    __slots__ = ("_fingerprint", "_text")

    def __init__(self, text: str) -> None:
        """Keep the text; its fingerprint is computed once."""
        self._text = text
        self._fingerprint = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]

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
    """Replaces registered secrets, in every form in which they may appear, and everything that looks like a key.

    One pass of one regular expression. It is applied to text that is rendered already, so it knows what URLs, JSON,
    HTML and ``repr`` make of a secret; base64 is not known.
    """

    def __init__(self) -> None:
        """Start with patterns only."""
        self._forms: set[str] = set()
        self._pattern = re.compile(_PATTERNS, re.IGNORECASE)

    def register(self, secret: Secret) -> Self:
        """Mask this secret from now on: whole, in part, escaped, and in any case of its letters."""
        text = secret.reveal()
        if len(text) < _SHORTEST:
            return self
        form = _key_form(text) if _GROUPS.fullmatch(text) else _form(text)
        if form not in self._forms:
            self._forms.add(form)
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join((*longest_first, _PATTERNS)), re.IGNORECASE)
        return self

    def mask(self, text: str) -> str:
        """Return the text without any secret."""
        return self._pattern.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    kept = match.lastgroup
    return MASK if kept is None else match[kept] + MASK


def _key_form(text: str) -> str:
    """Return the pattern of a key in groups: any two of its groups in a row (the text may be cut), or all glued."""
    groups = text.split("-")
    group = f"(?:{'|'.join(dict.fromkeys(groups))})"
    return f"{group}(?:{_DASH}{group})+(?:{_DASH}[A-Z0-9]{{1,3}}(?![A-Z0-9]))?|{''.join(groups)}"


def _form(text: str) -> str:
    """Return the pattern of any other secret: whole, or its beginning and whatever follows without a break."""
    characters = [_spellings(character) for character in text]
    whole = "".join(characters)
    if len(text) <= _SHORTEST_PART:
        return whole
    return rf"{whole}|{''.join(characters[:_SHORTEST_PART])}[^\s\"'&,;<>\\]*"


def _spellings(character: str) -> str:
    """Return a pattern for what URLs, JSON, HTML and ``repr`` make of one character."""
    if character == "-":
        return _DASH
    if character.isascii() and (character.isalnum() or character == "_"):
        return character
    # All of this is needed only for secrets that are no keys, once each.
    from html import escape  # noqa: PLC0415
    from json import dumps  # noqa: PLC0415

    raw = character.encode(errors="surrogatepass")
    quoted = quote(raw, safe="")
    forms = {
        character,
        "".join(f"%{byte:02X}" for byte in raw),
        quoted.replace("%", "%25"),
        quote_plus(raw),
        dumps(character)[1:-1],
        dumps(dumps(character)[1:-1])[1:-1],
        repr(character)[1:-1],
        repr(raw)[2:-1],
        escape(character),
    }
    return f"(?:{'|'.join(re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form)))})"


MASKER: Final = Masker()
"""The process-wide masker: a secret is registered where it is read, and every log line passes through it."""
