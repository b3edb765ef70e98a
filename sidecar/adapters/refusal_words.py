"""What a refusal of the activation server means, by its words.

Only the sentences for malformed parameters are published; those for "no free seat" and "expired" are assumed, so many
wordings are accepted and everything else is a general refusal (protocol.md section 1). Must not decide whether an
answer *is* a refusal: that is settled before.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.core.reasons import Failure

_SEATS: Final = (
    r"(?:seat|licen[cs]e|activation|deployment|instance|node|slot|device|unit|quantit|installation)\w*\b"
    r"(?! (?:key|id|code)\b)"
)
_LIMIT: Final = r"\b(?:max\w*|limit|quota|number|count|capacity|pool|quantity)\b"
_GONE: Final = r"(?:none left|used up|exhausted|depleted|fully used|run out|ran out)"
_BAD: Final = r"\b(?:invalid|malformed|unknown|bad|illegal|wrong|missing|incorrect|no such)\b"
_IS_BAD: Final = (
    r"\b(?:invalid|malformed|unknown|missing|incorrect|not valid|not found|does not exist|isn't valid|doesn't exist"
    r"|(?:un|not )recogni[sz]ed)\b"
)

_TABLE: Final[tuple[tuple[Failure, tuple[str, ...]], ...]] = (
    # The published sentences first: they are certain.
    (Failure.INVALID_KEY, (r"activation key you provided is invalid",)),
    (Failure.INVALID_DEPLOYMENT, (r"deployment id you provided is invalid",)),
    (Failure.INVALID_REQUEST, (r"quantity you provided is invalid",)),
    # No free seat before the rest: taken for an invalid key it would be asked for again only after a long pause.
    (
        Failure.NO_SEATS,
        (
            rf"\b(?:no|not enough|insufficient|too many|zero|0|out of)\b(?: \w+){{0,3}} {_SEATS}",
            rf"\b(?:all|every)\b(?: \w+){{0,4}} {_SEATS}(?: \w+){{0,5}} (?:use|used|taken|occupied|consumed)\b",
            rf"{_LIMIT}.{{0,80}}\b(?:reach|exceed|exhaust|used|full|deplet)",
            rf"\b(?:reach|exceed|exhaust|deplet|over)\w*\b.{{0,80}}{_LIMIT}",
            rf"{_SEATS}.{{0,60}}\b{_GONE}\b",
            r"\balready\b(?: \w+){0,4} (?:in use|used|activated|taken|assigned)\b",
        ),
    ),
    (
        Failure.EXPIRED,
        (
            r"\bexpir(?:ed|y|ation)\b",
            r"\bno longer valid\b",
            r"\b(?:has|have) ended\b",
            r"\b(?:past its end|out of date)\b",
        ),
    ),
    (
        Failure.INVALID_DEPLOYMENT,
        (rf"{_BAD}(?: \w+){{0,3}} deployment\b", rf"\bdeployment(?: id)?\b.{{0,60}}{_IS_BAD}"),
    ),
    (Failure.INVALID_KEY, (rf"{_BAD}(?: \w+){{0,3}} key\b", rf"\bkey\b.{{0,60}}{_IS_BAD}")),
    (
        Failure.INVALID_REQUEST,
        (
            rf"{_BAD}(?: \w+){{0,3}} (?:quantity|parameter|argument|request|query)",
            rf"\b(?:quantity|parameter|argument|request|query)\b.{{0,60}}(?:{_IS_BAD}|\bmust be\b)",
        ),
    ),
)
_ROWS: Final = tuple((failure, re.compile("|".join(words), re.IGNORECASE)) for failure, words in _TABLE)


def classify(text: str) -> Failure:
    """Return the first row of the table that fits, else ``REFUSED``."""
    line = " ".join(text[:2000].split())
    return next((failure for failure, words in _ROWS if words.search(line)), Failure.REFUSED)
