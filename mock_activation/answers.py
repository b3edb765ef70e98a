"""What the activation server can say: statuses, phrases, sentences, and what they mean.

The sentences marked as documented are the vendor's, letter by letter; the others are assumed (docs/mock.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OK: Final = "Ok"
ACTIVATION_FAILED: Final = "Activation failed"
DEACTIVATION_FAILED: Final = "Deactivation failed"
INVALID: Final = "Invalid parameter"
NOT_FOUND: Final = "Not Found"
BAD_REQUEST: Final = "Bad Request"

# Documented, letter by letter.
INVALID_SENTENCE: Final = (
    "Could not activate your product because the {} you provided is invalid. "
    "Check if you typed it correctly or open a support ticket if problem persist."
)
# Assumed: the vendor does not publish these sentences.
UNKNOWN_KEY_SENTENCE: Final = (
    "Could not activate your product because the Activation Key you provided does not exist. "
    "Check if you typed it correctly or open a support ticket if problem persist."
)
EXPIRED_SENTENCE: Final = (
    "Could not activate your product because your license has expired. Renew it or open a support ticket."
)
SUSPENDED_SENTENCE: Final = (
    "Could not activate your product because the Activation Key you provided is suspended. Open a support ticket."
)
WRONG_PRODUCT_SENTENCE: Final = (
    "Could not activate your product because the Activation Key you provided belongs to another product."
)
NO_SEATS_SENTENCE: Final = (
    "Could not activate your product because all seats of your license are in use. "
    "Deactivate another deployment or open a support ticket."
)
VAGUE_SENTENCE: Final = "Could not activate your product. Open a support ticket if problem persist."
NOT_ACTIVE_SENTENCE: Final = "Could not deactivate your product because this deployment is not active."


class Outcome(StrEnum):
    """What was decided, for the journal and the metrics."""

    ACTIVATED = "activated"
    INVALID_KEY = "invalid_key"
    INVALID_DEPLOYMENT = "invalid_deployment"
    INVALID_QUANTITY = "invalid_quantity"
    UNKNOWN_KEY = "unknown_key"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    WRONG_PRODUCT = "wrong_product"
    NO_SEATS = "no_seats"
    RELEASED = "released"
    NOT_ACTIVE = "not_active"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: ``status``, reason ``phrase`` (empty: none is sent), ``body`` in UTF-8, and what it means."""

    status: int
    phrase: str
    body: bytes
    outcome: Outcome
    content_type: str = "text/yaml"
