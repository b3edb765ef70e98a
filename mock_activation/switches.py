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


@dataclass(frozen=True, slots=True)
class Switches:
    """One position of all switches; the defaults are what protocol.md assumes."""

    same_pair: SamePair = SamePair.FREE
    unknown_pair: UnknownPair = UnknownPair.NOT_FOUND
    quantity: Quantity = Quantity.SEAT
    release_body: ReleaseBody = ReleaseBody.JSON
    deployment_ids: DeploymentIds = DeploymentIds.STRICT
    phrases: Phrases = Phrases.ON


POSITIONS: dict[str, type[StrEnum]] = {
    "same_pair": SamePair,
    "unknown_pair": UnknownPair,
    "quantity": Quantity,
    "release_body": ReleaseBody,
    "deployment_ids": DeploymentIds,
    "phrases": Phrases,
}
"""Name of each switch, and its positions: the command line and the control API are made from this."""
