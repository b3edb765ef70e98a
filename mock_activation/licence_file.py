"""The licence file that a successful activation answers.

Its fields are not published (protocol.md section 1): these are the ones that the product shows after it has read such
a file, and the deployment ID. The signature is plainly a mock: nothing here may ever be mistaken for a real licence.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

YEAR = 365 * 86400.0
_DAY = 86400
_LAST_DAY = datetime(9999, 12, 31, tzinfo=UTC).timestamp() // _DAY


def quoted(text: str) -> str:
    """Return a YAML single-quoted scalar of one line."""
    return "'" + text.replace("'", "''") + "'"


def expiration_date(at: float) -> str:
    """Return the day of a time (seconds since the epoch) in the form that the product shows: ``09/30/2026``."""
    return _date(int(min(max(at // _DAY, 0), _LAST_DAY)))


@lru_cache(maxsize=64)
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY, UTC).strftime("%m/%d/%Y")


def product_part(product_id: str, product_name: str, licensed_to: str, licensed_engines: tuple[str, ...]) -> str:
    """Return the lines that are the same for each deployment of a key; no engines are named ``'*'``, all of them."""
    engines = f"[{', '.join(map(quoted, licensed_engines))}]" if licensed_engines else "'*'"
    return (
        "# Mock licence made by mock-activation. Not issued by OPSWAT; worthless outside of tests.\n"
        f"product_id: {quoted(product_id)}\n"
        f"product_name: {quoted(product_name)}\n"
        f"licensed_to: {quoted(licensed_to)}\n"
        f"licensed_engines: {engines}\n"
    )


def render(product: str, deployment: str, *, expires_at: float, quantity: int) -> str:
    """Return the whole file for one deployment; ``product`` is the text of ``product_part``."""
    signed = (
        f"{product}"
        f"expiration: '{expiration_date(expires_at)}'\n"
        f"max_node_count: '{quantity}'\n"
        f"deployment: {quoted(deployment)}\n"
    )
    return (
        f"{signed}"
        "mock_signature:\n"
        "  note: 'MOCK SIGNATURE, NOT A LICENCE: a plain digest that anybody can compute'\n"
        "  algorithm: sha256 of everything above this block\n"
        f"  value: '{sha256(signed.encode()).hexdigest()}'\n"
    )
