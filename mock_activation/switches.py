"""The assumptions about the vendor's server, each behind a named switch (docs/mock.md has the table).

Only what protocol.md marks as assumed, or leaves open, may be switched; what is documented is not negotiable.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SamePair(StrEnum):
    """Activating a pair that is active already."""

    FREE = "free"
    """Answers ``200 Ok`` and takes nothing."""
    CONSUMES = "consumes"
    """Takes another seat each time; one deactivation gives all of them back."""


class UnknownPair(StrEnum):
    """Deactivating a pair that is not active."""

    NOT_FOUND = "404"
    ERROR = "error"
    """200 with an ``error:`` body."""
    OK = "ok"
    """The same answer as for a pair that was active."""


class Quantity(StrEnum):
    """What ``quantity`` does."""

    SEAT = "seat"
    """Nothing to the quota: a deployment ID is one seat (the quota counts deployment IDs)."""
    COUNTED = "counted"
    """A deployment ID takes that many of the key's seats."""


class ReleaseBody(StrEnum):
    """The body of a successful deactivation."""

    JSON = "json"
    YAML = "yaml"
    EMPTY = "empty"


class DeploymentIds(StrEnum):
    """Which deployment IDs are well-formed."""

    STRICT = "strict"
    """A prefix of letters and digits, then 32 hexadecimal digits."""
    ANY = "any"
    """Every printable text without white space, except ``null``."""


class Phrases(StrEnum):
    """Reason phrases in the status line (HTTP/2 and proxies drop them)."""

    ON = "on"
    OFF = "off"


class ValidationOrder(StrEnum):
    """Which malformed parameter is told if several are."""

    KEY_DEPLOYMENT_QUANTITY = "key-deployment-quantity"
    KEY_QUANTITY_DEPLOYMENT = "key-quantity-deployment"
    DEPLOYMENT_KEY_QUANTITY = "deployment-key-quantity"
    DEPLOYMENT_QUANTITY_KEY = "deployment-quantity-key"
    QUANTITY_KEY_DEPLOYMENT = "quantity-key-deployment"
    QUANTITY_DEPLOYMENT_KEY = "quantity-deployment-key"


class KeyStateCheck(StrEnum):
    """When it is looked up whether a well-formed key exists and may be used."""

    LAST = "last"
    """After all parameters are known to be well-formed."""
    WITH_KEY = "with-key"
    """As soon as the key is."""


class Missing(StrEnum):
    """A parameter that is not there."""

    INVALID = "invalid"
    """As if it were malformed."""
    FAILED = "failed"
    """``Activation failed`` with the same sentence."""
    BAD_REQUEST = "400"


class MissingQuantity(StrEnum):
    """An activation without ``quantity``."""

    MISSING = "missing"
    """A missing parameter like any other."""
    ONE = "one"


class UnknownKey(StrEnum):
    """A well-formed key that was never issued."""

    FAILED = "failed"
    """``Activation failed``."""
    INVALID = "invalid"
    """``Invalid parameter``, as if it were malformed."""


class RefusalTexts(StrEnum):
    """The sentences of refusals, which are not published."""

    TELLING = "telling"
    """Each reason has its own."""
    VAGUE = "vague"
    """One for all: nobody can tell them apart."""


class BadRelease(StrEnum):
    """A deactivation with a malformed or missing parameter."""

    INVALID = "invalid"
    """As in an activation."""
    NOT_FOUND = "404"


class DeadKeyRelease(StrEnum):
    """Deactivating with a key that is expired, suspended or for another product."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    """200 with an error."""


class MaxNodeCount(StrEnum):
    """The field ``max_node_count`` of the licence file."""

    QUANTITY = "quantity"
    SEATS = "seats"


class ContentTypes(StrEnum):
    """The ``Content-Type`` of answers."""

    PLAUSIBLE = "plausible"
    """``text/yaml``, ``application/json``."""
    OCTET_STREAM = "octet-stream"
    HTML = "html"
    """What servers say that know no better."""


@dataclass(frozen=True, slots=True)
class Switches:
    """One position of all switches; the defaults are what protocol.md assumes."""

    same_pair: SamePair = SamePair.FREE
    unknown_pair: UnknownPair = UnknownPair.NOT_FOUND
    quantity: Quantity = Quantity.SEAT
    release_body: ReleaseBody = ReleaseBody.JSON
    deployment_ids: DeploymentIds = DeploymentIds.STRICT
    phrases: Phrases = Phrases.ON
    validation_order: ValidationOrder = ValidationOrder.KEY_DEPLOYMENT_QUANTITY
    key_state_check: KeyStateCheck = KeyStateCheck.LAST
    missing: Missing = Missing.INVALID
    missing_quantity: MissingQuantity = MissingQuantity.MISSING
    unknown_key: UnknownKey = UnknownKey.FAILED
    refusal_texts: RefusalTexts = RefusalTexts.TELLING
    bad_release: BadRelease = BadRelease.INVALID
    dead_key_release: DeadKeyRelease = DeadKeyRelease.ALLOWED
    max_node_count: MaxNodeCount = MaxNodeCount.QUANTITY
    content_types: ContentTypes = ContentTypes.PLAUSIBLE


POSITIONS: dict[str, type[StrEnum]] = {
    "same_pair": SamePair,
    "unknown_pair": UnknownPair,
    "quantity": Quantity,
    "release_body": ReleaseBody,
    "deployment_ids": DeploymentIds,
    "phrases": Phrases,
    "validation_order": ValidationOrder,
    "key_state_check": KeyStateCheck,
    "missing": Missing,
    "missing_quantity": MissingQuantity,
    "unknown_key": UnknownKey,
    "refusal_texts": RefusalTexts,
    "bad_release": BadRelease,
    "dead_key_release": DeadKeyRelease,
    "max_node_count": MaxNodeCount,
    "content_types": ContentTypes,
}
"""Name of each switch, and its positions: the command line and the control API are made from this."""
