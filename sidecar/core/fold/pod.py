"""Folds what our own pod's status says (rules 15, 17 and 18): only with a policy that watches the pod."""

from typing import Final

from sidecar.core import policy as points
from sidecar.core.commands import Exit, Notice, Occasion
from sidecar.core.events import PodLooked, PodSeen, PodUnanswered, PodUnseen, PortTried
from sidecar.core.facts import PodReport
from sidecar.core.fold.change import Folded, Instant
from sidecar.core.reasons import AppTrouble
from sidecar.core.replacement import replace
from sidecar.core.state import AppLost, AppUnmet, Deciding, Flight, PodView, State

EXIT_MISCONFIGURED: Final = 78


def pod_seen(state: State, now: float, event: PodSeen) -> Folded:
    """Fold what the watch of the pod tells; the first report also proves who we are."""
    return _seen(state, now, event.report)


def pod_looked(state: State, now: float, flight: Flight, event: PodLooked) -> Folded:
    """Fold our own look at the pod."""
    if isinstance(state.stopping, Deciding):
        return replace(state, stopping=replace(state.stopping, pod=event.report)), []
    state, notices = _seen(state, now, event.report)
    return replace(state, pod=replace(state.pod, looked_at=flight.started)), notices


def pod_unseen(state: State, now: float, event: PodUnseen) -> Folded:
    """Fold a watch that does not work: what the status said last is history from now on."""
    return _unseen(state, now, event.message)


def pod_unanswered(state: State, now: float, event: PodUnanswered) -> Folded:
    """Fold a look that brought no answer."""
    if isinstance(state.stopping, Deciding):
        return replace(state, stopping=replace(state.stopping, silent=True)), []
    failures = state.pod.failures + 1
    pause = points.ledger_pause(failures, event.luck)
    state = replace(state, pod=replace(state.pod, failures=failures, not_before=now + pause))
    return _unseen(state, now, event.message)


def port_tried(state: State, event: PortTried) -> Folded:
    """Fold the knock of a stop that has to decide."""
    if isinstance(state.stopping, Deciding):
        state = replace(state, stopping=replace(state.stopping, port_refuses=event.refused))
    return state, []


def _unseen(state: State, now: float, message: str) -> Folded:
    pod = state.pod
    down_since = now if pod.down_since is None else pod.down_since
    return replace(state, pod=replace(pod, down_since=down_since, message=message)), [
        Notice(occasion=Occasion.POD_UNSEEN, text=message)
    ]


def _seen(state: State, now: float, report: PodReport) -> Folded:
    before, owner = state.pod, state.policy.owner
    if before.report is None and report.uid != owner.uid:
        named = f"pod {owner.namespace}/{owner.pod} (pod.namespace, pod.name)"
        found = f"has the uid {report.uid}" if report.uid else "does not exist"
        text = f"{named} {found}, but pod.uid is {owner.uid}: take all three from the downward API of this very pod"
        return state, [Notice(occasion=Occasion.POD_FOREIGN, text=text), Exit(EXIT_MISCONFIGURED)]
    if before.report is None and report.fault:
        return state, [Notice(occasion=Occasion.POD_FOREIGN, text=report.fault), Exit(EXIT_MISCONFIGURED)]
    if report.uid != owner.uid:
        report = PodReport(uid=report.uid)  # a successor of our name: its container says nothing about our app
    notices: list[Instant] = []
    if before.down_since is not None:
        notices.append(Notice(occasion=Occasion.POD_SEEN))
    known, new = _container(before), _id(report)
    restarted = bool(known and new and known != new)
    if restarted:
        state = _restarted(state, now)
    pod = PodView(
        report=report,
        looked_at=before.looked_at,
        doubted_at=before.doubted_at,
        app_ended_at=_ended_at(before, report, now, restarted=restarted),
        ends_at=now + report.grace_left if report.grace_left is not None else before.ends_at,
    )
    if pod.app_ended_at is not None and before.app_ended_at is None:
        state = replace(state, app=replace(state.app, next_at=now))  # whether it answers after all is worth a question
    return replace(state, pod=pod), notices


def _ended_at(before: PodView, report: PodReport, now: float, *, restarted: bool) -> float | None:
    if report.app is None:
        return before.app_ended_at if report.uid else None
    if report.app.ended is None:
        return None
    return now if before.app_ended_at is None or restarted else before.app_ended_at


def _restarted(state: State, now: float) -> State:
    """Forget what the former container said: its deployment ID and its licence are history until the app is asked."""
    if isinstance(state.app.contact, AppUnmet):
        return state
    contact = AppLost(None, AppTrouble.BROKEN, "its container was restarted", now, now)
    return replace(state, app=replace(state.app, contact=contact, next_at=now))


def _container(pod: PodView) -> str:
    return "" if pod.report is None else _id(pod.report)


def _id(report: PodReport) -> str:
    return "" if report.app is None else report.app.id
