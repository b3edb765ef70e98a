"""What the settings say about the ledger in Kubernetes, which is not part of this version.

The one place that says so: the issue that brings the Lease ledger replaces this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sidecar.config.declare import LedgerKind

SERVICE_ACCOUNT_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

_NOT_YET: Final = (
    "the ledger in Kubernetes is not part of this version: use ledger.kind: file, with ledger.dir on a volume that all"
    " sidecars of this key share"
)


def resolve_ledger(kind: LedgerKind, token: Path) -> LedgerKind:
    """Return the kind of ledger that ``auto`` means here; raises ``ValueError`` where that is not available."""
    match kind:
        case LedgerKind.FILE:
            return kind
        case LedgerKind.KUBERNETES:
            raise ValueError(_NOT_YET)
        case LedgerKind.AUTO:
            if token.exists():
                raise ValueError(f"auto means kubernetes here, for a service account token is mounted, and {_NOT_YET}")
            return LedgerKind.FILE
