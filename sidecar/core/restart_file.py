"""When the app is asked to restart: the file ``restart-app`` (design.md section 5).

While *refused*, and not waiting, the app restarts until the secret is right; pauses double, and an app that is licensed
is never restarted. The file itself is the shell's affair.
"""

from sidecar.core.commands import Command, Notice, Occasion, RemoveRestartFile, TouchRestartFile
from sidecar.core.conclusions import is_waiting
from sidecar.core.policy import RESTART_CAP, RESTART_TOUCH
from sidecar.core.replacement import replace
from sidecar.core.state import AppMet, Restart, Running, State, last_report


def settle_restart_file(state: State, now: float, commands: list[Command]) -> State:
    """Touch the file, touch it again, or remove it, as what is known now demands."""
    before, restart = state.restart, _restart(state, now)
    if restart == before:
        return state
    if restart.touched_at is None and before.touched_at is not None:
        commands.append(RemoveRestartFile())
    elif restart.touched_at is not None:
        if before.touched_at is None:
            why = state.server.refusal.sentence if state.server.refusal is not None else ""
            commands.append(Notice(occasion=Occasion.RESTART_ASKED, text=why))
        commands.append(TouchRestartFile())
    return replace(state, restart=restart)


def _restart(state: State, now: float) -> Restart:
    before, contact, report = state.restart, state.app.contact, last_report(state)
    licensed = report is not None and report.licensed is True
    # Only the new key was refused: the app keeps the seat under the old one, which another ID would lose.
    kept = state.successor is not None
    refused = state.server.refusal is not None and state.policy.restart_after > 0
    if not refused or licensed or kept or not isinstance(state.stopping, Running):
        return Restart()
    known = report.deployment_id if report is not None else None
    if before.touched_at is not None and (not isinstance(contact, AppMet) or known != before.touched_for):
        # The container is restarting: from now on the file would only do harm.
        pause = min(RESTART_CAP, before.pause * 2)
        return Restart(at=now + pause, pause=pause)
    if report is None or is_waiting(state):
        return Restart(pause=before.pause)  # the pauses go on doubling, however long the app takes to restart
    if before.at is None:
        # Counted from when it is no longer waiting, not from the first refusal: who has just seen the seat that he
        # waited for become free is about to get it.
        pause = before.pause or state.policy.restart_after
        return Restart(at=now + pause, pause=pause)
    due = before.at if before.touched_at is None else before.touched_at + RESTART_TOUCH
    if now < due or not isinstance(contact, AppMet):
        return before
    return replace(before, touched_at=now, touched_for=known)
