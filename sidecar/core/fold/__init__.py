"""Events become facts: one function for each event, none decides what to do next.

An answer is folded by the identity that its flight names, so that a superseded request still changes the seat or the
debt it was about (design.md section 3, "The machine").
"""

from sidecar.core.fold.app import app_failed, app_seen, delivered, knocked, upload_declined
from sidecar.core.fold.change import Folded, Instant
from sidecar.core.fold.flights import overdue_answer
from sidecar.core.fold.ledger import erased, ledger_failed, listed, write_lost, written
from sidecar.core.fold.pod import pod_looked, pod_seen, pod_unanswered, pod_unseen, port_tried
from sidecar.core.fold.server import activated, activation_declined, deactivated, server_failed
from sidecar.core.fold.wishes import keys_seen, prospects_seen, stop

__all__ = [
    "Folded",
    "Instant",
    "activated",
    "activation_declined",
    "app_failed",
    "app_seen",
    "deactivated",
    "delivered",
    "erased",
    "keys_seen",
    "knocked",
    "ledger_failed",
    "listed",
    "overdue_answer",
    "pod_looked",
    "pod_seen",
    "pod_unanswered",
    "pod_unseen",
    "port_tried",
    "prospects_seen",
    "server_failed",
    "stop",
    "upload_declined",
    "write_lost",
    "written",
]
