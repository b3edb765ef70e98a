"""Folds what our own pod's status says (rules 15, 17 and 18): only with a policy that watches the pod."""

from typing import Final

from sidecar.core import policy as points
from sidecar.core.commands import Exit, Notice, Occasion
from sidecar.core.conclusions import asks_app
from sidecar.core.events import PodLooked, PodSeen, PodUnanswered, PodUnseen, PortTried
from sidecar.core.facts import AppContainer, PodReport
from sidecar.core.fold.change import Folded, Instant
from sidecar.core.fold.wishes import grace_end
from sidecar.core.reasons import AppTrouble
from sidecar.core.replacement import replace
from sidecar.core.state import AppLost, AppUnmet, Deciding, Flight, PodView, Running, State, Stopping

EXIT_MISCONFIGURED: Final = 78


def pod_seen(state: State, now: float, event: PodSeen) -> Folded:
    """Fold what the watch of the pod tells; the first report also proves who we are."""
    state, notices = _seen(state, now, event.report)
    return replace(state, pod=replace(state.pod, seen_at=now)), notices


def pod_looked(state: State, now: float, flight: Flight, event: PodLooked) -> Folded:
    """Fold our own look at the pod; what the watch has told meanwhile may be newer, so then we look again."""
    if isinstance(state.stopping, Deciding):
        return replace(state, stopping=replace(state.stopping, pod=event.report)), []
    if isinstance(state.stopping, Stopping):
        return _hurried(state, state.stopping, flight, event.report), []
    if flight.overdue or flight.started < state.pod.seen_at:
        return state, []
    state, notices = _seen(state, now, event.report)
    return replace(state, pod=replace(state.pod, looked_at=flight.started)), notices


def _hurried(state: State, stopping: Stopping, flight: Flight, report: PodReport) -> State:
    """Cut the deadline of a stop that did not wait for this answer, because the app's port refused."""
    if report.uid != state.policy.owner.uid or report.grace_left is None:
        return state
    deadline = min(stopping.deadline, grace_end(flight.started, flight.started + report.grace_left))
    return replace(state, stopping=replace(stopping, deadline=deadline))


def pod_unseen(state: State, now: float, event: PodUnseen) -> Folded:
    """Fold a watch that does not work: what the status said last is history from now on."""
    return _unseen(state, now, event.message)


def pod_unanswered(state: State, now: float, event: PodUnanswered) -> Folded:
    """Fold a look that brought no answer."""
    if isinstance(state.stopping, Deciding):
        return replace(state, stopping=replace(state.stopping, silent=True)), []
    failures = state.pod.failures + 1
    pause = points.ledger_pause(failures, event.luck, event.retry_after)
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
    if before.report is None and not isinstance(state.stopping, Running):
        return state, []  # a stop proves for itself who we are
    if before.report is None and report.uid != owner.uid:
        named = f"pod {owner.namespace}/{owner.pod} (pod.namespace, pod.name)"
        found = f"has the uid {report.uid}" if report.uid else "does not exist"
        text = f"{named} {found}, but pod.uid is {owner.uid}: take all three from the downward API of this very pod"
        return state, [Notice(occasion=Occasion.POD_FOREIGN, text=text), Exit(EXIT_MISCONFIGURED)]
    if before.report is None and report.fault:
        return state, [Notice(occasion=Occasion.POD_FOREIGN, text=report.fault), Exit(EXIT_MISCONFIGURED)]
    if report.uid != owner.uid:
        report = PodReport(uid=report.uid)  # a successor of our name: its container says nothing about our app
    if before.report is not None and before.report.deleting and before.report.uid == report.uid:
        report = replace(report, deleting=True)  # never taken back, whatever a watch that lags says
    notices: list[Instant] = []
    if before.down_since is not None:
        notices.append(Notice(occasion=Occasion.POD_SEEN))
    restarted = _is_another(before.report.app if before.report is not None else None, report.app)
    if restarted:
        state = _restarted(state, now)
    pod = PodView(
        report=report,
        seen_at=before.seen_at,
        looked_at=before.looked_at,
        doubted_at=before.doubted_at,
        app_ended_at=_ended_at(before, report, now, restarted=restarted),
        ends_at=_ends_at(before, report, now),
    )
    if pod.app_ended_at is not None and before.app_ended_at is None:
        state = replace(state, app=replace(state.app, next_at=now))  # whether it answers after all is worth a question
    if pod.app_ended_at is None and before.app_ended_at is not None and not asks_app(state.policy):
        state = replace(state, app=replace(state.app, contact=AppUnmet()))  # nobody else will tell that it is back
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


def _is_another(before: AppContainer | None, now: AppContainer | None) -> bool:
    """Tell whether the container was replaced: states coalesce, and its ID may be missing for a while."""
    if before is None or now is None:
        return False
    return bool(before.id and now.id and before.id != now.id) or now.restarts > before.restarts


def _ends_at(before: PodView, report: PodReport, now: float) -> float | None:
    """Return when the grace period will be over: it can be shortened, never made longer."""
    if report.grace_left is None:
        return before.ends_at
    ends_at = now + report.grace_left
    return ends_at if before.ends_at is None else min(ends_at, before.ends_at)
