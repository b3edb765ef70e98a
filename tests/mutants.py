"""The edits that ``tests.mutations`` tries: for each invariant, the code that keeps it taken out, and who notices.

Only data. The tests that are named are the quickest that fail; a mutant may well be noticed by others too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STOP: Final = "tests/process/test_stop.py"
KILL: Final = "tests/process/test_kill_points.py"
SEEN: Final = "tests/process/test_invariants.py"
READY: Final = "tests/process/test_honest_ready.py"
CHANGES: Final = "tests/process/test_changes.py"
RULES: Final = "tests/unit/core"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit: ``old`` stands exactly once in the file. ``tests``: pytest's arguments; one of them has to fail."""

    invariant: str
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS: Final = (
    # --- RECORD_FIRST
    Mutant(
        "RECORD_FIRST",
        "the server is asked without waiting for the record",
        "sidecar/core/plan.py",
        "if seat.ask is not None and seat.ask.cleared and _takes(state):\n                yield now, Activate",
        "if seat.ask is not None and seat.ask.at <= now and _takes(state):\n                yield now, Activate",
        (f"{SEEN}::test_record_first_no_ledger_no_request", f"{RULES}/test_rule_02_record_first.py"),
    ),
    Mutant(
        "RECORD_FIRST",
        "the record does not say that a request may be under way",
        "sidecar/core/plan.py",
        "Write(replace(wanted, open=True), seat.stored, clears=True)",
        "Write(wanted, seat.stored, clears=True)",
        (RULES,),
    ),
    Mutant(
        "RECORD_FIRST",
        "the app's own request does not wait for an open record",
        "sidecar/core/plan.py",
        "elif _says_open(state, seat, delivery):",
        "else:",
        (RULES,),
    ),
    Mutant(
        "RECORD_FIRST",
        "a refusal erases the record although an earlier request is unanswered",
        "sidecar/core/fold/server.py",
        "if by_us or seat.risk_until > now or isinstance(seat.tenure, (Unsure, Denied)):",
        "if by_us:",
        (RULES,),
    ),
    Mutant(
        "RECORD_FIRST",
        "an unanswered activation does not count as one that may have taken a seat",
        "sidecar/core/fold/server.py",
        "return replace(seat, ask=Ask(now), tenure=tenure, risk_until=late_at)",
        "return replace(seat, ask=Ask(now), tenure=tenure)",
        (f"{RULES}/test_rule_04_late_requests.py",),
    ),
    # --- ONE_SEAT
    Mutant(
        "ONE_SEAT",
        "the seat of the app's former ID is forgotten",
        "sidecar/core/settle.py",
        "return _occupy(_release_all(state, seat, Cause.DEPLOYMENT_CHANGED, now), wanted, now)",
        "return _occupy(replace(state, seat=Vacant()), wanted, now)",
        (f"{SEEN}::test_one_seat_through_restarts_of_the_app",),
    ),
    Mutant(
        "ONE_SEAT",
        "the seat under the old key is kept after a rotation",
        "sidecar/core/settle.py",
        "    return as_debt(state, seat, Cause.KEY_CHANGED, now)\n",
        "    return state\n",
        (f"{CHANGES}::test_a_key_is_rotated_by_a_swap_of_its_folder",),
    ),
    Mutant(
        "ONE_SEAT",
        "a seat is released with the current key instead of its own",
        "sidecar/agent.py",
        "key = self._key(command.identity)",
        "key = self._key(replace(command.identity, key_fingerprint=self._state.key.snapshot.current))",
        (f"{CHANGES}::test_a_key_is_rotated_by_a_swap_of_its_folder",),
    ),
    Mutant(
        "ONE_SEAT",
        "a restart does not adopt what it finds",
        "sidecar/agent.py",
        "it.record.owner.uid == self.policy.owner.uid",
        "it.record.owner.uid == ''",
        (f"{KILL}::test_killed_during_its_release", f"{STOP}::test_bounded_stop_never_releases_when_told_so"),
    ),
    Mutant(
        "ONE_SEAT",
        "what was open when it died is taken for settled",
        "sidecar/core/settle.py",
        "risk_until = now + policy.late if record.open else 0.0\n    seat = Seat(",
        "risk_until = 0.0\n    seat = Seat(",
        (f"{KILL}::test_killed_while_the_server_is_asked",),
    ),
    # --- BOUNDED_STOP
    Mutant(
        "BOUNDED_STOP",
        "no watchdog",
        "sidecar/watchdog.py",
        "        _thread.start_new_thread(self._enforce, (budget, self._armed))\n",
        "",
        (f"{STOP}::test_bounded_stop_a_loop_that_is_blocked",),
    ),
    Mutant(
        "BOUNDED_STOP",
        "the watchdog is armed by a callback of the loop only",
        "sidecar/stop_signals.py",
        "        # And yet our own handlers again: a callback of the loop would wait for whatever blocks it.\n"
        "        self.install()\n",
        "",
        (f"{STOP}::test_bounded_stop_a_loop_that_is_blocked",),
    ),
    Mutant(
        "BOUNDED_STOP",
        "an activation under way is awaited to its own end",
        "sidecar/core/machine.py",
        "        state = _hurry(state, state.stopping)\n",
        "        pass\n",
        (f"{STOP}::test_bounded_stop_an_activation_that_outlasts_the_budget",),
    ),
    Mutant(
        "BOUNDED_STOP",
        "the process ends through the interpreter, which waits for threads",
        "sidecar/lifecycle.py",
        "            life.leave(code)\n",
        "            raise SystemExit(code)\n",
        (f"{STOP}::test_bounded_stop_a_look_up_that_hangs_in_a_thread",),
    ),
    Mutant(
        "BOUNDED_STOP",
        "a second signal changes nothing",
        "sidecar/lifecycle.py",
        "        life.agent.stop(loop.time() + HURRY, release=life.release)\n",
        "        pass\n",
        (f"{STOP}::test_bounded_stop_a_second_signal_cuts_short",),
    ),
    Mutant(
        "BOUNDED_STOP",
        "the machine waits for confirmations beyond its deadline",
        "sidecar/core/plan.py",
        "if (busy or unsettled) and now < end:",
        "if busy or unsettled:",
        (f"{STOP}::test_bounded_stop_a_ledger_whose_lock_is_held", RULES),
    ),
    Mutant(
        "BOUNDED_STOP",
        "a stop before the first look at the keys does not read them",
        "sidecar/lifecycle.py",
        "                await life.agent.read_keys()\n",
        "                pass\n",
        (f"{STOP}::test_bounded_stop_a_signal_while_it_starts",),
    ),
    Mutant(
        "BOUNDED_STOP",
        "signals are caught only after the imports",
        "sidecar/cli/run.py",
        "    _SIGNALS.install()\n",
        "",
        (f"{STOP}::test_bounded_stop_signals_are_caught_before_anything_heavy_is_loaded",),
    ),
    # --- NO_SECRET
    Mutant(
        "NO_SECRET",
        "log lines are not masked",
        "sidecar/observe/logs.py",
        'self._stream.write(MASKER.mask(line) + "\\n")',
        'self._stream.write(line + "\\n")',
        (f"{SEEN}::test_no_secret_in_a_traceback",),
    ),
    Mutant(
        "NO_SECRET",
        "the masker lets everything pass",
        "sidecar/secrets.py",
        "return self._pattern.sub(_masked, text)",
        "return text",
        (f"{SEEN}::test_no_secret_in_anything_that_a_hostile_server_causes",),
    ),
    Mutant(
        "NO_SECRET",
        "a Secret shows itself",
        "sidecar/secrets.py",
        "    def __repr__(self) -> str:",
        "    def __repr__(self) -> str:\n        return self._text\n\n    def __unused__(self) -> str:",
        ("tests/unit/test_secrets.py",),
    ),
    # --- HONEST_READY
    Mutant(
        "HONEST_READY",
        "the app's ID is not compared with the seat's",
        "sidecar/core/view.py",
        "if fit and matches and mine:",
        "if fit:",
        (f"{READY}::test_honest_ready_needs_our_own_seat",),
    ),
    Mutant(
        "HONEST_READY",
        "an app without a licence is fit",
        "sidecar/core/view.py",
        "if report.licensed is not True:  # HONEST_READY",
        "if report.licensed is None:  # HONEST_READY",
        (f"{READY}::test_honest_ready_through_a_whole_life",),
    ),
    Mutant(
        "HONEST_READY",
        "a licensed app is enough, whoever holds its seat",
        "sidecar/core/view.py",
        "    if fit and in_grace and ours:",
        "    if fit and ours:",
        (f"{READY}::test_honest_ready_through_a_whole_life", RULES),
    ),
    Mutant(
        "HONEST_READY",
        "no grace: a silent activation server takes a licensed app down",
        "sidecar/core/view.py",
        "if fit and matches and mine:",
        "if fit and matches and mine and state.server.outage is None:",
        (f"{READY}::test_honest_ready_grace_while_the_server_is_down",),
    ),
    Mutant(
        "HONEST_READY",
        "a seat whose record was taken away is as good as any",
        "sidecar/core/view.py",
        "    if held and isinstance(seat, Seat) and seat.lost_at is not None:\n",
        "    if False:\n",
        (f"{RULES}/test_lost_record.py",),
    ),
    Mutant(
        "HONEST_READY",
        "ready for ever in a pod that does not exist any more",
        "sidecar/core/view.py",
        "if held and not taken and isinstance(state.app.contact, AppMet):",
        "if held and isinstance(state.app.contact, AppMet):",
        (f"{RULES}/test_lost_record.py",),
    ),
    Mutant(
        "HONEST_READY",
        "ready while stopping",
        "sidecar/core/view.py",
        "    if not isinstance(state.stopping, Running):\n        left",
        "    if False:\n        left",
        (f"{STOP}::test_bounded_stop_a_drain_waits_for_the_app",),
    ),
    # --- NO_LEAK
    Mutant(
        "NO_LEAK",
        "one 404 is enough",
        "sidecar/core/release.py",
        "if first is not None and sent_at >= first + late and sent_at >= release.quiet_at:",
        "if True:",
        (f"{STOP}::test_bounded_stop_an_answer_of_404_is_handed_over_for_its_second_look",),
    ),
    Mutant(
        "NO_LEAK",
        "a confirmation erases although a request is open",
        "sidecar/core/release.py",
        "    if sent_at >= release.quiet_at:\n        return replace(release, answered=True,",
        "    if True:\n        return replace(release, answered=True,",
        (f"{RULES}/test_rule_04_late_requests.py", f"{KILL}::test_killed_while_the_server_is_asked"),
    ),
    Mutant(
        "NO_LEAK",
        "nobody is told to finish what the stop could not",
        "sidecar/core/plan.py",
        "    return now >= stopping.deadline - stopping.reserve\n",
        "    return False\n",
        (f"{STOP}::test_bounded_stop_a_look_up_that_hangs_in_a_thread[deactivate-69]",),
    ),
    Mutant(
        "NO_LEAK",
        "a record that was handed over is left alone",
        "sidecar/core/orphans.py",
        'return Judgement(Verdict.RECLAIM, "handed over by its owner")',
        'return Judgement(Verdict.KEEP, "handed over by its owner")',
        (f"{STOP}::test_bounded_stop_a_server_that_hangs",),
    ),
    Mutant(
        "NO_LEAK",
        "orphans are left alone",
        "sidecar/core/orphans.py",
        "if still >= scope.lease:",
        "if False:",
        (f"{KILL}::test_no_leak_when_everybody_was_killed",),
    ),
    Mutant(
        "NO_LEAK",
        "a crashed app keeps its seat",
        "sidecar/core/settle.py",
        "    return _release_all(state, ours, Cause.APP_FAILURE, now)\n",
        "    return state\n",
        (f"{SEEN}::test_one_seat_when_the_app_crashes_and_comes_back",),
    ),
    # --- NO_THEFT
    Mutant(
        "NO_THEFT",
        "a held lock is no sign of life",
        "sidecar/adapters/file_instances.py",
        'return Sight(Standing.LIVE, "its owner holds its lock")',
        'return Sight(Standing.GONE, "its owner holds its lock")',
        (f"{SEEN}::test_no_theft_from_a_sidecar_that_is_frozen",),
    ),
    Mutant(
        "NO_THEFT",
        "a closed REST port is the end of a plain container's app",
        "sidecar/core/settle.py",
        "        gone = now >= stopping.since + state.policy.drain\n",
        "        gone = True\n",
        (f"{RULES}/test_rule_18_the_stop.py",),
    ),
    Mutant(
        "NO_THEFT",
        "an app whose /readyz hangs is silent, whatever else it answers",
        "sidecar/adapters/icap_server.py",
        "            if not asked:\n                raise\n",
        "            raise\n",
        ("tests/unit/adapters/test_icap_answers.py",),
    ),
    Mutant(
        "NO_THEFT",
        "two processes may run under one name",
        "sidecar/adapters/file_instances.py",
        "        if not take(lock, fcntl.LOCK_EX, time.monotonic() + min(_ENTER_WITHIN, self._timeout)):",
        "        if False:",
        ("tests/process/test_start.py::test_two_instances_of_one_name",),
    ),
    # --- NO_STARVE
    Mutant(
        "NO_STARVE",
        "a release between two looks goes unnoticed",
        "sidecar/core/fold/wishes.py",
        "((before.names or frozenset()) | before.held)",
        "(before.names or frozenset())",
        (f"{RULES}/test_without_a_word.py",),
    ),
    Mutant(
        "NO_STARVE",
        "a seat that became free is asked for only after the back-off",
        "sidecar/core/fold/wishes.py",
        "server = replace(server, not_before=min(server.not_before, soon))",
        "server = replace(server, not_before=max(server.not_before, soon))",
        (f"{SEEN}::test_no_starve_the_second_gets_the_seat_of_the_first", f"{RULES}/test_rule_14_waiting.py"),
    ),
    Mutant(
        "NO_STARVE",
        "another key does not end the pause of the one before",
        "sidecar/core/fold/wishes.py",
        "not_before=now if server.refusal is not None else server.not_before)",
        "not_before=server.not_before)",
        (RULES,),
    ),
    # --- BOUNDED_LOAD
    Mutant(
        "BOUNDED_LOAD",
        "no pause during an outage",
        "sidecar/core/policy.py",
        "pause = max(policy.retry_base / 10, ceiling * luck)",
        "pause = policy.retry_base / 10",
        ("tests/simulation/test_fleet.py::test_requests_of_one_sidecar_stay_bounded_during_an_outage",),
    ),
)
