"""What the settings mean in a pod: whether the ledger is in Kubernetes, and what must be known there.

It looks only whether a token is mounted; nobody is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.config.declare import LedgerKind

if TYPE_CHECKING:
    from sidecar.config.settings import Config


def resolve_ledger(kind: LedgerKind, account: Path) -> LedgerKind:
    """Return the kind of ledger that ``auto`` means here; ``account`` is the service account's folder."""
    if kind is not LedgerKind.AUTO:
        return kind
    return LedgerKind.KUBERNETES if (account / "token").exists() else LedgerKind.FILE


def nameless(config: Config) -> str | None:
    """Return why the pod's own name, uid and namespace do not suffice for a ledger in Kubernetes, or None."""
    if config.ledger.kind is not LedgerKind.KUBERNETES:
        return None
    # The host's name is often the pod's, and sometimes not: what a record rests on is not guessed.
    given = {"pod.name": config.pod.name if config.origins.get("pod.name") != "host name" else ""}
    given |= {"pod.uid": config.pod.uid, "pod.namespace": config.pod.namespace}
    missing = [name for name, value in given.items() if not value]
    if not missing:
        return None
    variables = ", ".join(name.upper().replace(".", "_") for name in missing)
    return f"needs {', '.join(missing)}: set {variables} from the downward API (metadata.name, .uid, .namespace)"
