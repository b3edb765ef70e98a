"""The date at which a licence ends, out of the spellings in which it is met.

The app says ``09/30/2026`` (protocol.md section 2); the licence file's fields are not published, so ISO dates and
seconds are understood too. A date means its first moment in UTC. Must not guess: what is not recognised is no date.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_FORMS: Final = (
    re.compile(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})"),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?:[T ].*)?"),
)
_SECONDS: Final = re.compile(r"\d{9,11}")


def expiry(text: str) -> float:
    """Return seconds since the epoch, or 0.0 for a text that is no date."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    for form in _FORMS:
        if found := form.fullmatch(text):
            try:
                return datetime(int(found["year"]), int(found["month"]), int(found["day"]), tzinfo=UTC).timestamp()
            except ValueError:
                return 0.0
    return 0.0
