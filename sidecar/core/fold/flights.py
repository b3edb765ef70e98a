"""What a flight counts as when its deadline has passed."""

from typing import assert_never

from sidecar.core.commands import (
    Activate,
    Deactivate,
    Erase,
    Knock,
    Lane,
    ListOwn,
    LookAtPod,
    Write,
)
from sidecar.core.events import (
    Answer,
    AppFailed,
    LedgerFailed,
    PodUnanswered,
    PortTried,
    ServerFailed,
)
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.state import (
    Flight,
)

LANE_OF: dict[type, Lane] = {
    ListOwn: Lane.LEDGER,
    Write: Lane.LEDGER,
    Erase: Lane.LEDGER,
    Activate: Lane.SERVER,
    Deactivate: Lane.SERVER,
}
"""The lane of each command; everything else belongs to the app's lane."""


def overdue_answer(flight: Flight) -> Answer:
    """Return what a flight whose deadline passed counts as until its real answer comes."""
    op = flight.launch.op
    message = "no answer within its deadline"
    if isinstance(flight.launch.command, LookAtPod):
        return PodUnanswered(op=op, message=message)
    if isinstance(flight.launch.command, Knock):
        return PortTried(op=op, refused=False)
    match LANE_OF.get(type(flight.launch.command), Lane.APP):
        case Lane.LEDGER:
            return LedgerFailed(op=op, message=message)
        case Lane.SERVER:
            return ServerFailed(op=op, reason=Failure.TIMEOUT, message=message)
        case Lane.APP:
            return AppFailed(op=op, trouble=AppTrouble.SILENT, message=message, sent=True)
        case other:
            assert_never(other)
