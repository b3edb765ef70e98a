"""The machine against a model of its outside: every interleaving of answers, losses, crashes, keys and restarts.

The invariants are those of design.md section 9 as far as one sidecar can break them.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.core import events
from sidecar.core.policy import Policy, Route
from sidecar.core.reasons import AppTrouble
from sidecar.core.state import Held, Seat
from sidecar.core.view import Stage, describe
from tests.model.outside import KEYS, LATE, SERVER, US, App, Call, Outside, pair

which = st.integers(0, 5)
moments = st.sampled_from([0.0, 0.3, 1.0, 4.0, 6.0, 11.5, 16.0, 31.0, 61.0, LATE + 1])
lucks = st.sampled_from([0.0, 0.5, 0.99])


class MachineAgainstModel(RuleBasedStateMachine):
    """One sidecar; whatever can happen around it happens in any order."""

    @initialize(
        route=st.sampled_from([Route.AUTO, Route.PRODUCT, Route.UPLOAD]),
        activate_first=st.booleans(),
        revalidate=st.sampled_from([0.0, 100.0, 86400.0]),
        drain=st.sampled_from([0.0, 5.0]),
        upload=st.booleans(),
    )
    def begin(self, route: Route, activate_first: bool, revalidate: float, drain: float, upload: bool) -> None:
        policy = Policy(
            server=SERVER,
            owner=US,
            route=route,
            activate_first=activate_first,
            revalidate=revalidate,
            drain=drain,
            late=LATE,
        )
        self.it = Outside(policy, app=App(takes_upload=upload or route is Route.UPLOAD))
        self.it.start()

    # --- time and the network ---------------------------------------------------------------------------------------

    @rule(seconds=moments, luck=lucks)
    def calm(self, seconds: float, luck: float) -> None:
        """Answer everything at once for a while."""
        self.it.luck = luck
        self.it.wait(seconds, calm=True)

    @rule(seconds=moments)
    def silence(self, seconds: float) -> None:
        """Answer nothing for a while."""
        self.it.wait(seconds, calm=False)

    def call(self, number: int) -> Call | None:
        calls = self.it.open_calls()
        return calls[number % len(calls)] if calls else None

    @rule(number=which)
    def answer(self, number: int) -> None:
        """Let a call take effect, and answer it."""
        call = self.call(number)
        if call is not None and (call.pending or call.answer is not None):
            self.it.process(call)
            self.it.deliver(call)

    @rule(number=which)
    def process(self, number: int) -> None:
        """Let a call take effect; its answer is late."""
        call = self.call(number)
        if call is not None:
            self.it.process(call)

    @rule(number=which, sent=st.booleans())
    def cut(self, number: int, sent: bool) -> None:
        """End a call without an answer; what was sent may take effect later."""
        call = self.call(number)
        if call is not None:
            self.it.cut(call, sent=sent)

    # --- life -------------------------------------------------------------------------------------------------------

    @rule(seconds=moments, peer=st.sampled_from(["asleep", "claims", "deactivates", "erases"]))
    def crash(self, seconds: float, peer: str) -> None:
        """Kill the sidecar, and start it again after a while; a peer that took it for dead got so far."""
        self.it.crash()
        self.it.wait(seconds, calm=False)
        if seconds >= self.it.policy.lease:
            self.it.reclaim(claims=peer != "asleep", deactivates=peer == "deactivates", erases=peer == "erases")
        self.it.start()

    @precondition(lambda self: self.it.state is not None)
    @rule(budget=st.sampled_from([0.5, 2.0, 20.0]), calm=st.booleans(), twice=st.booleans(), release=st.booleans())
    def stop(self, budget: float, calm: bool, twice: bool, release: bool) -> None:
        """Tell the sidecar to end: it does so in time, whatever is answered; then begin another life."""
        it = self.it
        it.stop_by = it.now + budget
        it.feed(events.Stop(deadline=it.stop_by, release=release))
        if twice and it.state is not None:
            it.wait(0.2, calm=calm)
            it.feed(events.Stop(deadline=it.now + 2.0, release=release))
        it.wait(budget, calm=calm)
        assert it.state is None, "BOUNDED_STOP"
        it.start()

    @rule(seconds=st.sampled_from([2.0, 7.0, 40.0]), keeps=st.booleans(), calm=st.booleans(), knock=st.booleans())
    def app_restarts(self, seconds: float, keeps: bool, calm: bool, knock: bool) -> None:
        """End the app's container; it comes back without a licence, mostly with another ID."""
        app = self.it.app
        app.up, app.licensed_by = False, None
        if knock:
            self.it.feed(events.Knocked(trouble=AppTrouble.REFUSED))
        self.it.wait(seconds, calm=calm)
        app.up = True
        app.starts += 1
        if not keeps:
            app.deployment_id = f"MSCL{app.starts}"
        if knock:
            self.it.feed(events.Knocked(trouble=None))

    @rule()
    def app_loses_its_licence(self) -> None:
        self.it.app.licensed_by = None

    @rule(key=st.sampled_from(KEYS))
    def rotate(self, key: str) -> None:
        self.it.key = key
        if key not in self.it.seen_keys:
            self.it.seen_keys.append(key)
        self.it.show_keys()

    @rule(key=st.sampled_from(KEYS), taken=st.integers(0, 1), invalid=st.booleans())
    def server_changes(self, key: str, taken: int, invalid: bool) -> None:
        """Let others take a seat or leave it, and a key be invalid or not."""
        held = sum(1 for it in self.it.taken if it[0] == key)
        self.it.others[key] = min(taken, max(0, self.it.seats[key] - held))
        if invalid:
            self.it.invalid.add(key)
        else:
            self.it.invalid.discard(key)

    @rule(names=st.sampled_from([frozenset(), frozenset({"a"})]))
    def prospects(self, names: frozenset[str]) -> None:
        self.it.feed(events.ProspectsSeen(names=names))

    # --- what must always hold --------------------------------------------------------------------------------------

    @invariant()
    def no_leak(self) -> None:
        """Check that every seat that is taken, or may still be, has a record: a reclaimer can find it."""
        if not hasattr(self, "it"):
            return
        recorded = {pair(it.record.identity) for it in self.it.records.values()}
        assert self.it.taken <= recorded, "NO_LEAK: a seat without a record"
        requested = {seat for call in self.it.calls if (seat := call.takes) is not None}
        assert requested <= recorded, "NO_LEAK: a request that may be late, without a record"

    @invariant()
    def honest_ready(self) -> None:
        """Check that ready means: the app itself said last that it is licensed, for the ID that we have or want."""
        if not hasattr(self, "it") or self.it.state is None:
            return
        view = describe(self.it.state, self.it.now)
        if view.ready:
            report, seat = self.it.last_report, self.it.state.seat
            assert report is not None, "HONEST_READY"
            assert report.licensed, "HONEST_READY"
            if isinstance(seat, Seat):
                assert seat.identity.deployment_id == report.deployment_id, "HONEST_READY"
        if view.stage is Stage.ACTIVE:
            seat = self.it.state.seat
            assert isinstance(seat, Seat), "HONEST_READY"
            assert isinstance(seat.tenure, Held), "HONEST_READY"

    def teardown(self) -> None:
        """Check, after all troubles are over, that there is one seat with one record, and none after the end."""
        if not hasattr(self, "it"):
            return
        it = self.it
        if it.state is None:
            it.start()
        it.invalid.clear()
        it.others = dict.fromkeys(KEYS, 0)
        it.app.up = True
        it.feed(events.ProspectsSeen(names=frozenset()))
        it.wait(4000.0, calm=True)
        self.no_leak()
        wanted = it.key, it.app.deployment_id
        assert it.state is not None
        view = describe(it.state, it.now)
        assert view.stage is Stage.ACTIVE, f"NO_STARVE: {view}"
        assert it.taken == {wanted}, f"ONE_SEAT: {it.taken}, wanted {wanted}"
        assert {pair(stored.record.identity) for stored in it.records.values()} == {wanted}, "ONE_SEAT, records"
        assert it.app.licensed_by == wanted, "the app has another seat's licence"
        assert it.state.debts == ()
        it.stop_by = it.now + 20.0
        it.feed(events.Stop(deadline=it.stop_by))
        it.wait(20.0 + it.policy.drain, calm=True)
        assert it.exit_code == 0
        assert it.taken == set(), "NO_LEAK after the end"
        assert it.records == {}, "NO_LEAK after the end, records"


TestMachineAgainstModel = MachineAgainstModel.TestCase
