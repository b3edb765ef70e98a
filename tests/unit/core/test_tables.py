"""The numbers and the small procedures of the core, as tables: policy, release, orphans, records, commands."""

from dataclasses import replace

import pytest

from sidecar.core import orphans, policy, release
from sidecar.core.commands import ActivateByApp, AskApp, Deactivate, Erase, ListOwn, Upload, Write
from sidecar.core.facts import KeySnapshot, Licence
from sidecar.core.fold.flights import overdue_answer
from sidecar.core.orphans import Scope, Sighting, Verdict
from sidecar.core.policy import Policy
from sidecar.core.reasons import REFUSALS, AppTrouble, Cause, Failure
from sidecar.core.records import Claim, Phase, Sight, Standing, Stored
from sidecar.core.release import NEVER
from sidecar.core.state import Flight, Launch, Stopping
from tests.unit.core.driver import KEY, LATE, NEW_KEY, SERVER, THEM, US, identity, record

POLICY = Policy(server=SERVER, owner=US)
SCOPE = Scope(SERVER, frozenset({KEY}), 60.0, US.uid)
LUCKS = (0.0, 0.5, 0.999)


# --- policy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("luck", LUCKS)
def test_policy_outages_back_off_with_full_jitter(luck: float) -> None:
    """Doubling from the base to the cap; never nothing, never more than the cap, however long it lasts."""
    pauses = [policy.outage_pause(POLICY, failures, luck) for failures in range(1, 2000)]
    assert min(pauses) >= 0.1
    assert max(pauses) <= 60.0
    assert pauses[:4] == [max(0.1, 2.0**power * luck) for power in range(4)]


@pytest.mark.parametrize(("wish", "least"), [(0.0, 0.1), (30.0, 30.0), (3600.0, 3600.0), (86400.0, 3600.0)])
def test_policy_a_server_that_names_a_time_is_believed_up_to_an_hour(wish: float, least: float) -> None:
    """And a fleet that it names one time does not come back as one."""
    assert policy.outage_pause(POLICY, 1, 0.0, wish) == least
    assert policy.outage_pause(POLICY, 1, 0.999, wish) <= max(1.0, least * 1.1)


@pytest.mark.parametrize("reason", sorted(REFUSALS))
@pytest.mark.parametrize("luck", LUCKS)
def test_policy_pauses_after_refusals(reason: Failure, luck: float) -> None:
    """15 s to 5 min for what may end by itself, the set pause for what does not."""
    pauses = [policy.refusal_pause(POLICY, reason, count, luck) for count in range(1, 50)]
    if reason in {Failure.NO_SEATS, Failure.REFUSED}:
        assert 7.5 <= pauses[0] <= 15.0
        assert 150.0 <= pauses[-1] <= 300.0
    else:
        assert all(810.0 <= pause <= 990.0 for pause in pauses)


@pytest.mark.parametrize("luck", LUCKS)
def test_policy_pauses_of_ledger_and_app_stay_short(luck: float) -> None:
    """They are ours or next door: 15 and 5 seconds at most."""
    assert 0.25 <= policy.ledger_pause(1, luck) <= 0.5
    assert 7.5 <= policy.ledger_pause(1000, luck) <= 15.0
    assert 0.375 <= policy.app_pause(POLICY, 1, luck) <= 0.5
    assert 3.75 <= policy.app_pause(POLICY, 1000, luck) <= 5.0
    assert policy.app_pause(replace(POLICY, app_interval=2.0), 1000, luck) <= 2.0


def test_policy_jitter_only_lengthens() -> None:
    """By four per cent if nothing else is said."""
    assert policy.jittered(100.0, 0.0) == 100.0
    assert policy.jittered(100.0, 0.5) == pytest.approx(102.0)
    assert policy.jittered(100.0, 0.5, 0.1) == pytest.approx(105.0)


@pytest.mark.parametrize(("waiting", "longest"), [(0, 0.5), (1, 0.5), (4, 2.0), (1000, 5.0)])
def test_policy_a_freed_seat_is_asked_for_by_all_that_wait_spread(waiting: int, longest: float) -> None:
    """Half a second for each, five at most."""
    assert policy.freed_pause(waiting, 0.0) == 0.0
    assert policy.freed_pause(waiting, 1.0) == longest


# --- release ----------------------------------------------------------------------------------------------------------


def begun(**fields: object) -> release.Release:
    """Return a release of our own record that was begun at 100."""
    stored = Stored(record(**fields), "1")
    return release.begin(stored, Cause.SHUTDOWN, 100.0, LATE)


@pytest.mark.parametrize(
    ("opened", "unknown", "quiet_at", "not_before"),
    [
        (False, False, 100.0, 100.0),
        (True, False, 220.0, 100.0),
        (False, True, 100.0, 220.0),
        (True, True, 220.0, 220.0),
    ],
)
def test_release_begins_by_what_the_record_says(
    opened: bool, unknown: bool, quiet_at: float, not_before: float
) -> None:
    """Open: not final before ``late``. Seen unknown once: the second look ``late`` from our own first sight."""
    it = begun(open=opened, unknown=unknown)
    assert (it.quiet_at, it.not_before, it.answered) == (quiet_at, not_before, unknown)


@pytest.mark.parametrize(
    ("opened", "sent_at", "confirmed"), [(False, 100.0, True), (True, 219.9, False), (True, 220.0, True)]
)
def test_release_is_confirmed_by_an_answer_that_nothing_can_overtake(
    opened: bool, sent_at: float, confirmed: bool
) -> None:
    """Sent while an earlier request may be late, it only frees the seat for now."""
    it = release.released(begun(open=opened), sent_at)
    assert it.answered
    assert it.confirmed is confirmed
    assert confirmed or it.not_before == 220.0


def test_release_a_404_counts_twice() -> None:
    """At least ``late`` apart."""
    first = release.unknown(begun(), 100.0, 101.0, LATE)
    assert (first.answered, first.confirmed, first.unknown_at, first.not_before) == (True, False, 101.0, 221.0)
    assert release.wanted(first, 101.0, leaving=False).unknown
    assert not release.unknown(first, 220.9, 221.5, LATE).confirmed
    assert release.unknown(first, 221.0, 221.5, LATE).confirmed


def test_release_two_404_while_something_is_open_are_not_enough() -> None:
    """The late request may come after both."""
    it = release.requested(release.unknown(begun(), 100.0, 101.0, LATE), 500.0)
    assert not release.unknown(it, 300.0, 301.0, LATE).confirmed
    assert release.unknown(it, 500.0, 501.0, LATE).confirmed


def test_release_a_failure_is_tried_again_later() -> None:
    """Never sooner than what was waited for anyway."""
    it = release.failed(begun(unknown=True), 110.0, 5.0)
    assert (it.failures, it.not_before) == (1, 220.0)
    assert release.failed(it, 300.0, 5.0).not_before == 305.0
    assert release.released(it, 300.0).failures == 0


def test_release_a_request_that_was_withdrawn_leaves_the_others() -> None:
    """Rule 5: only if it was the only one, nothing was taken."""
    alone = replace(begun(), quiet_at=NEVER, alone=True)
    assert release.withdrawn(alone).confirmed
    other = replace(begun(), quiet_at=NEVER, late_until=300.0)
    assert not release.withdrawn(other).confirmed
    assert release.withdrawn(other).quiet_at == 300.0


def test_release_of_a_seat_that_was_taken_again_begins_anew() -> None:
    """Whatever was answered before says nothing."""
    confirmed = release.released(begun(), 100.0)
    it = release.retaken(confirmed, 150.0)
    assert (it.answered, it.confirmed, it.unknown_at, it.not_before) == (False, False, None, 150.0)
    assert not release.released(it, 149.0).confirmed
    assert release.released(it, 150.0).confirmed


@pytest.mark.parametrize(("leaving", "phase"), [(False, Phase.RELEASING), (True, Phase.HANDOVER)])
def test_release_what_the_ledger_should_say(leaving: bool, phase: Phase) -> None:
    """The claim of somebody else is no part of it."""
    it = begun(open=True, claim=Claim("uid-them", 1.0))
    wanted = release.wanted(it, 150.0, leaving=leaving)
    assert (wanted.phase, wanted.open, wanted.claim) == (phase, True, None)
    assert not release.wanted(it, 220.0, leaving=leaving).open


@pytest.mark.parametrize(
    ("phase", "marked"),
    [(Phase.ACTIVATING, False), (Phase.ACTIVE, False), (Phase.RELEASING, True), (Phase.HANDOVER, True)],
)
def test_release_is_marked_by_its_phase(phase: Phase, marked: bool) -> None:
    """And not at all without a record."""
    assert begun(phase=phase).marked is marked
    assert not replace(begun(phase=phase), stored=None).marked


# --- orphans, beside the stories of rules 10 to 12 ---------------------------------------------------------------


def judged(
    standing: Standing, still: float = 0.0, scope: Scope = SCOPE, **fields: object
) -> tuple[Verdict, float | None]:
    """Judge a record that has not changed for so long; return when it is worth looking again, too."""
    stored = Stored(record(**{"owner": THEM, **fields}), "1")
    it = orphans.judge(stored, Sighting("1", 1000.0), Sight(standing, "why"), 1000.0 + still, scope)
    assert it.why
    return it.verdict, it.again_at


def test_rule_11_an_operator_may_vouch_for_what_cannot_be_proven() -> None:
    """And still the record must stay unchanged for a lease."""
    scope = replace(SCOPE, unproven=True)
    assert judged(Standing.UNPROVEN, 10.0, scope) == (Verdict.WATCH, 1060.0)
    assert judged(Standing.UNPROVEN, 60.0, scope) == (Verdict.RECLAIM, None)
    assert judged(Standing.LIVE, 1e6, scope) == (Verdict.KEEP, None)


def test_rule_12_our_own_claim_is_no_obstacle() -> None:
    """We know what we did with it; anybody else's tells when to look again."""
    ours, theirs = Claim(US.uid, 1e12), Claim("uid-third", 1e12)
    assert judged(Standing.GONE, 0.0, phase=Phase.HANDOVER, claim=ours) == (Verdict.RECLAIM, None)
    assert judged(Standing.GONE, 0.0, phase=Phase.HANDOVER, claim=theirs) == (Verdict.WATCH, 1030.0)


# --- small things -----------------------------------------------------------------------------------------------------


def test_keys_that_are_known() -> None:
    """The current one and all former ones."""
    assert KeySnapshot(KEY, (NEW_KEY,)).known() == {KEY, NEW_KEY}
    assert KeySnapshot(None, (NEW_KEY,)).known() == {NEW_KEY}
    assert KeySnapshot(None).known() == frozenset()


def test_names_of_commands_are_those_of_their_records() -> None:
    """A flight is found again by it."""
    stored = Stored(record(), "1")
    assert Write(stored.record, None).name == Erase(stored).name == stored.name == identity().name


@pytest.mark.parametrize(
    "command",
    [
        ListOwn(),
        Erase(Stored(record(), "1")),
        Deactivate(identity(), Cause.SHUTDOWN),
        AskApp(),
        Upload(identity(), Licence(b"")),
        ActivateByApp(identity()),
    ],
)
def test_an_overdue_flight_counts_as_an_outage_of_whom_it_asked(command: object) -> None:
    """And of a request to the app it must be supposed that it was sent."""
    answer = overdue_answer(Flight(Launch(7, command, 0.0), 0.0))  # type: ignore[arg-type]
    assert answer.op == 7
    assert getattr(answer, "trouble", AppTrouble.SILENT) is AppTrouble.SILENT
    assert getattr(answer, "sent", True)


@pytest.mark.parametrize(("budget", "reserve"), [(20.0, 2.0), (2.0, 0.6), (0.0, 0.0)])
def test_the_reserve_of_a_shutdown(budget: float, reserve: float) -> None:
    """Two seconds, or three tenths of what there is."""
    assert Stopping(10.0, 10.0 + budget, release=True, drain_until=10.0).reserve == pytest.approx(reserve)
