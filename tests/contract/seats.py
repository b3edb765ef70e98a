"""Seat records as the ledgers' tests write them."""

from __future__ import annotations

from dataclasses import replace

from sidecar.core.records import Identity, Owner, Phase, SeatRecord

OWNER = Owner(pod="web-0", uid="0" * 32, node="node", release="icap", container_id="c1", boot="b1")


def seat(deployment_id: str = "MSCL1", **changes: object) -> SeatRecord:
    """Return a record in its first phase, with every field that has no default set."""
    identity = Identity("https://activation.example", "0123456789ab", deployment_id)
    record = SeatRecord(identity, OWNER, Phase.ACTIVATING, open=True, created_at=1_700_000_000.25, renewed_at=1.5)
    return replace(record, **changes)  # type: ignore[arg-type]
