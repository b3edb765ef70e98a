"""Values that ``init-secrets`` makes where none were given: the API key of the app, and passwords.

The caller passes ``secrets.SystemRandom``; a ``Random`` with a seed belongs in tests only.
"""

from __future__ import annotations

import re
import string
from random import Random
from typing import Final

_KEY_LENGTH: Final = 36
_KEY_SHAPE: Final = re.compile(rf"[0-9a-f]{{{_KEY_LENGTH}}}")
_FOUR_IN_A_ROW: Final = re.compile(r"[a-f]{4}|[0-9]{4}")
_LEAST: Final = 10
_RULE: Final = (
    "exactly 36 characters of 0-9a-f, at least 10 letters and 10 digits, at most 3 letters and 3 digits in a row"
)
_PASSWORD_LENGTH: Final = 32
_MARKS: Final = "-._"
"""Neither a URL nor a shell gives these a meaning, and a policy that wants a special character has one."""
_CLASSES: Final = (string.ascii_uppercase, string.ascii_lowercase, string.digits, _MARKS)


def api_key_fault(text: str) -> str:
    """Return what is wrong with an API key by the vendor's rule (protocol.md section 2); empty if nothing is."""
    letters = sum(it in "abcdef" for it in text)
    digits = sum(it in string.digits for it in text)
    if _KEY_SHAPE.fullmatch(text) and letters >= _LEAST and digits >= _LEAST and not _FOUR_IN_A_ROW.search(text):
        return ""
    return f"it breaks the vendor's rule ({_RULE}), and newer releases of ICAP Server refuse to start with it"


def api_key(random: Random) -> str:
    """Return an API key, any that the rule allows with the same probability."""
    # Three in a hundred of all texts are allowed: a few milliseconds. Building one up by pieces would prefer some.
    while True:
        text = "".join(random.choices("0123456789abcdef", k=_KEY_LENGTH))
        if not api_key_fault(text):
            return text


def password(random: Random) -> str:
    """Return a password with every class of characters that policies ask for; it begins with a letter."""
    every = "".join(_CLASSES)
    while True:
        text = "".join(random.choices(every, k=_PASSWORD_LENGTH))
        if text[0].isalpha() and all(any(it in one for it in text) for one in _CLASSES):
            return text
