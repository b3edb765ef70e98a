"""The operator's commands as a person and a program use them, against the mock and a folder of records."""

from __future__ import annotations

import io
import json
import sys

import pytest

from sidecar.cli.progress import Progress
from sidecar.cli.seats import age
from sidecar.core.records import Claim, Phase
from tests.unit.cli.operators_desk import FOREIGN, FORMER, KEY, A, B, C, D, Desk

ELSEWHERE = {"boot": "another boot"}
IDS = "a file with an ID"


# --- list -------------------------------------------------------------------------------------------------------------


def test_list_shows_every_seat_and_why_it_is_or_is_not_an_orphan(desk: Desk) -> None:
    """One row a seat in the order of the owners, a line of totals, and what is no record at all."""
    desk.seat(A, "gone")
    desk.seat(B, "living", lives=True, open=True)
    desk.seat(C, "moved", owner=ELSEWHERE)
    desk.seat(D, "parting", lives=True, phase=Phase.HANDOVER, claim=Claim("somebody", 0.0))
    (desk.ledger / "seat-notes.txt").write_text("mine")
    code, out, _ = desk.run("list")
    assert code == 0
    head, gone, living, moved, parting, totals, stray = out.splitlines()
    assert head.split()[:3] == ["DEPLOYMENT", "ID", "KEY"]
    assert gone.split()[:6] == [A, KEY.fingerprint, "active", "gone", "2h", "1m"]
    assert "not yet" in gone
    assert "gone: the lock of its owner is free; not renewed for 9" in gone
    assert "counts as an orphan after 0.3s of watching" in gone
    assert "  no  " in living
    assert "its owner holds its lock; a request for it may be under way" in living
    assert "unproven" in moved
    assert "yes" in parting
    assert "handed over by its owner; claimed by somebody" in parting
    assert totals.startswith("4 seats: 1 of owners that live, 1 of owners that are gone, 1 handed over, 1 unproven")
    assert "seat-notes.txt" in stray
    assert desk.asked() == 0


def test_list_for_a_program_has_everything(desk: Desk) -> None:
    """Times as numbers, the owner as an object, totals by proof and phase."""
    desk.seat(A, "gone", unknown=True)
    desk.seat(B, "keyless", key=FOREIGN)
    code, told = desk.json("list")
    assert code == 0
    first, second = told["seats"]
    assert (first["deployment_id"], first["orphan"], first["standing"]) == (A, "not yet", "gone")
    assert first["owner"]["pod"] == "gone"
    assert 90 <= first["renewed_ago"] < 100
    assert "a second look is due" in first["why"]
    assert f"key {FOREIGN.fingerprint} is not known here" in second["why"]
    assert told["keys"] == sorted([KEY.fingerprint, FORMER.fingerprint])
    assert (told["totals"]["seats"], told["totals"]["gone"], told["totals"]["active"]) == (2, 2, 2)


def test_list_works_without_a_key_and_says_so(desk: Desk) -> None:
    """Looking needs none."""
    desk.seat(A, "living", lives=True)
    code, out, _ = desk.run("list", key_dir=str(desk.folder / "absent"))
    assert code == 0
    assert "its owner holds its lock" in out
    assert "warning: key.dir" in out


def test_list_of_nothing_says_so(desk: Desk) -> None:
    """No table without rows."""
    code, out, _ = desk.run("list")
    assert (code, out) == (0, f"no seats in {desk.ledger}\n")


@pytest.mark.parametrize("command", [["list"], ["reclaim"], ["release", A], ["import", IDS]])
def test_a_ledger_that_is_not_there_is_told_with_its_setting(command: list[str], desk: Desk) -> None:
    """Exit code 69 and one sentence."""
    code, out, err = desk.run(*with_ids(desk, command), ledger_dir=str(desk.folder / "absent"))
    assert (code, out) == (69, "")
    assert err.startswith("license-sidecar: not reached: ")
    assert "ledger.dir" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", [["reclaim"], ["release", A], ["import", IDS], ["reclaim", "--dry-run"]])
def test_acting_on_seats_needs_a_key_and_the_mode_that_has_seats(command: list[str], desk: Desk) -> None:
    """Exit code 78, naming the setting."""
    command = with_ids(desk, command)
    code, _, err = desk.run(*command, key_dir=str(desk.folder / "absent"))
    assert code == 78
    assert "key.dir" in err
    code, _, err = desk.run(*command, mode="observe")
    assert code == 78
    assert "mode (--mode: observe)" in err


@pytest.mark.parametrize("command", [["list"], ["reclaim"], ["release", A], ["import", IDS]], ids=lambda it: it[0])
def test_a_misspelt_variable_is_told_by_every_command(
    command: list[str], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, beside the result; not what Kubernetes injects for a Service, nor what only is odd."""
    monkeypatch.setenv("LICENSE_SIDECAR_LEDGR_DIR", "/elsewhere")
    monkeypatch.setenv("LICENSE_SIDECAR_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("LICENSE_SIDECAR_DEPLOYMENT_ID_VALUE", "MSCL1")
    code, out, err = desk.run(*with_ids(desk, command), "--output", "json")
    json.loads(out)
    assert code in {0, 77}
    warned = [line for line in err.splitlines() if line.startswith("warning: ")]
    told = "the environment variable LICENSE_SIDECAR_LEDGR_DIR is no setting and is ignored"
    assert warned == [f"warning: {told}: did you mean LICENSE_SIDECAR_LEDGER_DIR?"]


def test_a_misspelt_variable_is_told_beside_the_fault_that_it_makes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be why something is missing."""
    monkeypatch.setenv("LICENSE_SIDECAR_POD_UUID", "1234")
    code, _, err = desk.run("list", ledger_kind="kubernetes")
    assert code == 78
    assert "needs pod.uid" in err
    assert "LICENSE_SIDECAR_POD_UUID is no setting and is ignored: did you mean LICENSE_SIDECAR_POD_UID?" in err


def test_ages_have_two_units_at_most() -> None:
    """As a person says them."""
    assert [age(100.0, 100.0 + passed) for passed in (0, 59, 60, 3661, 90000, 864000)] == [
        "0s",
        "59s",
        "1m",
        "1h 1m",
        "1d 1h",
        "10d",
    ]
    assert age(0.0, 5.0) == "-"
    assert age(200.0, 100.0) == "0s"


# --- reclaim ----------------------------------------------------------------------------------------------------------


def test_NO_LEAK_reclaim_frees_the_seats_of_owners_that_are_gone(desk: Desk) -> None:  # noqa: N802 - the invariant's name
    """The living one keeps its seat; nothing remains, so the exit code is 0; the steps go to standard error."""
    desk.seat(A, "gone")
    desk.seat(B, "living", lives=True)
    desk.seat(C, "former", key=FORMER)
    code, out, err = desk.run("reclaim")
    assert code == 0
    assert desk.taken() == [B]
    assert desk.records() == 1
    told = {line.split()[0]: line for line in out.splitlines()}
    assert "released" in told[A]
    assert "kept" in told[B]
    assert FORMER.fingerprint in told[C]
    assert err.splitlines()[0] == "3 seat records: 1 of owners that live, 2 of owners that are gone"
    assert "watching whether somebody renews 2 seats" in err
    assert "\r" not in err


def test_reclaim_says_what_remains_and_exits_with_69(desk: Desk) -> None:
    """Unproven owners, missing keys, a server that fails."""
    desk.seat(A, "moved", owner=ELSEWHERE)
    desk.seat(B, "keyless", key=FOREIGN)
    code, results = desk.results("reclaim", "--once")
    assert (code, results) == (69, [(A, "left"), (B, "no_key")])
    assert desk.asked() == 0


def test_reclaim_all_warns_and_takes_the_unproven_too(desk: Desk) -> None:
    """But never a living one's."""
    desk.seat(A, "moved", owner=ELSEWHERE)
    desk.seat(B, "living", lives=True)
    code, out, err = desk.run("reclaim", "--all")
    assert code == 0
    assert err.startswith("--all: records of owners whose end nobody can prove")
    assert desk.taken() == [B]
    assert "released" in out


def test_reclaim_of_a_server_that_does_not_answer_remains(desk: Desk) -> None:
    """Told in the words of the failure."""
    desk.seat(A, "gone")
    code, out, _ = desk.run("reclaim", activation_url="http://127.0.0.1:1")
    assert code == 0
    assert "taken on another activation server" in out
    desk.mock.faults.add(fault("status"))
    code, out, _ = desk.run("reclaim")
    assert code == 69
    assert "HTTP status 503" in out


def test_reclaim_takes_the_second_look_that_a_404_calls_for(desk: Desk) -> None:
    """And tells it as unknown, never as released."""
    desk.seat(A, "gone", taken=False)
    code, results = desk.results("reclaim")
    assert (code, results) == (0, [(A, "unknown")])
    assert (desk.asked(), desk.records()) == (2, 0)


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    """No request, no write; what --all would do is told as well."""
    desk.seat(A, "gone")
    desk.seat(B, "moved", owner=ELSEWHERE)
    before = {path.name: path.read_bytes() for path in desk.ledger.glob("seat-*")}
    assert desk.results("reclaim", "--dry-run") == (0, [(A, "planned"), (B, "left")])
    assert desk.results("reclaim", "--dry-run", "--all") == (0, [(A, "planned"), (B, "planned")])
    assert before == {path.name: path.read_bytes() for path in desk.ledger.glob("seat-*")}
    assert desk.asked() == 0


def test_reclaim_of_nothing_is_done_at_once(desk: Desk) -> None:
    """A sentence and exit code 0."""
    code, out, err = desk.run("reclaim")
    assert (code, out) == (0, "there is no seat record: nothing to reclaim\n")
    assert err == "0 seat records\n"


@pytest.mark.parametrize("flags", [["--watch", "--all"], ["--once", "--watch"], ["--watch", "--dry-run"]])
def test_what_makes_no_sense_together_is_wrong_usage(flags: list[str], desk: Desk) -> None:
    """A reclaimer that runs for ever must not believe that the unproven are gone."""
    code, _, err = desk.run("reclaim", *flags)
    assert code == 64
    assert err


# --- release ----------------------------------------------------------------------------------------------------------


def test_release_gives_one_seat_back(desk: Desk) -> None:
    """Only this one."""
    desk.seat(A, "gone")
    desk.seat(B, "gone")
    assert desk.results("release", A) == (0, [(A, "released")])
    assert desk.taken() == [B]
    assert desk.records() == 1


def test_NO_THEFT_release_of_a_living_owners_seat_needs_force(desk: Desk) -> None:  # noqa: N802 - the invariant's name
    """77 without, and a word about what happens next with it."""
    desk.seat(A, "living", lives=True)
    code, out, _ = desk.run("release", A)
    assert code == 77
    assert "its owner (living) lives: its owner holds its lock; --force releases it all the same" in out
    assert desk.taken() == [A]
    code, out, _ = desk.run("release", A, "--force")
    assert code == 0
    assert "will take it again" in out
    assert desk.taken() == []


def test_release_of_an_unproven_owners_seat_needs_force(desk: Desk) -> None:
    """Only the operator can know."""
    desk.seat(A, "moved", owner=ELSEWHERE)
    assert desk.results("release", A) == (77, [(A, "refused")])
    assert desk.results("release", A, "--force") == (0, [(A, "released")])


def test_release_leaves_a_second_look_or_waits_for_it(desk: Desk) -> None:
    """69 and what finishes it; with --wait it is finished here."""
    desk.seat(A, "gone", taken=False)
    code, out, _ = desk.run("release", A)
    assert code == 69
    assert "--wait" in out
    assert desk.records() == 1
    assert desk.results("release", A, "--wait") == (0, [(A, "unknown")])
    assert desk.records() == 0


def test_release_without_a_record_asks_under_every_key(desk: Desk) -> None:
    """It tells under which key it was; unknown under every key is no success."""
    desk.take(A, FORMER)
    code, out, err = desk.run("release", A)
    assert code == 0
    assert "the ledger has no record of" in err
    rows = {line.split()[1]: line for line in out.splitlines()[1:]}
    assert "unknown under this key (404)" in rows[KEY.fingerprint]
    assert "released under this key" in rows[FORMER.fingerprint]
    assert desk.results("release", A) == (77, [(A, "unknown"), (A, "unknown")])
    assert desk.results("release", A, "--key", KEY.fingerprint) == (77, [(A, "unknown")])


def test_release_under_a_key_that_is_not_here_names_it(desk: Desk) -> None:
    """78: the key folder lacks it; whether a record or the operator names it."""
    desk.seat(A, "gone", key=FOREIGN)
    code, out, _ = desk.run("release", A)
    assert code == 78
    assert f"key {FOREIGN.fingerprint} is not known here" in out
    code, _, err = desk.run("release", A, "--key", FOREIGN.fingerprint.upper())
    assert code == 78
    assert f"no key with the fingerprint {FOREIGN.fingerprint}" in err


@pytest.mark.parametrize("wrong", ["", "null", "two words", "x" * 201], ids=["empty", "null", "words", "long"])
def test_what_is_no_id_is_wrong_usage(wrong: str, desk: Desk) -> None:
    """Nobody is asked."""
    code, _, err = desk.run("release", wrong)
    assert code == 64
    assert "argument ID: it " in err
    assert desk.asked() == 0


@pytest.mark.parametrize(
    "arguments",
    [["release", KEY.reveal()], ["release", A, "--key", KEY.reveal()], ["import", "-", "--keep", KEY.reveal()]],
    ids=["as ID", "as fingerprint", "as kept ID"],
)
def test_NO_SECRET_a_key_in_the_place_of_an_id_is_neither_sent_nor_shown(  # noqa: N802 - the invariant's name
    arguments: list[str], desk: Desk
) -> None:
    """64; the desk looks for the key in all output."""
    code, _, _ = desk.run(*arguments)
    assert (code, desk.asked()) == (64, 0)


# --- import -----------------------------------------------------------------------------------------------------------


def test_import_is_a_dry_run_unless_it_is_told_to_act(desk: Desk) -> None:
    """Then what is lost is released, what lives is kept, and a 404 is told as unknown."""
    desk.take(A)
    desk.seat(B, "living", lives=True)
    desk.take(C, FORMER)
    file = desk.folder / "ids.yaml"
    file.write_text(f"web-0: {A}\nweb-1: {B}\nweb-2: {C}\nweb-3: {D}\nweb-4: null\nweb-5: {A}\n")
    code, out, _ = desk.run("import", str(file))
    assert code == 0
    assert "nothing was done: --apply does it" in out
    assert (desk.taken(), desk.asked()) == ([A, B, C], 0)
    code, results = desk.results("import", str(file), "--apply", "--keep", C)
    assert code == 0
    assert (A, "released") in results
    assert (B, "kept") in results
    assert (C, "kept") in results
    assert [result for it, result in results if it == D] == ["unknown", "unknown"]
    assert desk.taken() == [B, C]


def test_import_of_many_says_how_far_it_is(desk: Desk) -> None:
    """It may take minutes: not more than reclaim.rate requests are sent."""
    file = desk.folder / "ids"
    file.write_text(f"{A}\nnull\n{B}\n{C}\n")
    _, _, err = desk.run("import", str(file), "--apply", "--keep", B)
    assert [line.partition(": ")[0] for line in err.splitlines()] == ["1 of 2", "1 of 2", "2 of 2", "2 of 2"]


def test_import_leaves_alone_what_a_file_says_is_in_use(desk: Desk) -> None:
    """And does nothing at all if that file cannot be understood to the last word."""
    desk.take(A)
    desk.take(B)
    ids, live = desk.folder / "ids", desk.folder / "live"
    ids.write_text(f"{A}\n{B}\n")
    live.write_text(f"web-0={B}\nweb-1=null\n")
    code, _ = desk.results("import", str(ids), "--live", str(live), "--apply")
    assert (code, desk.taken()) == (0, [B])
    live.write_text("web-0=what is this\n")
    code, _, err = desk.run("import", str(ids), "--live", str(live), "--apply")
    assert (code, desk.taken()) == (64, [B])
    assert "--live: 1 of 1 entries are no deployment IDs: nothing is done" in err


def test_import_goes_by_the_record_where_the_owner_is_gone(desk: Desk) -> None:
    """So the record goes with the seat."""
    desk.seat(A, "gone")
    (desk.folder / "ids").write_text(A)
    assert desk.results("import", str(desk.folder / "ids"), "--apply") == (0, [(A, "released")])
    assert desk.records() == 0


def test_import_of_a_server_that_fails_remains(desk: Desk) -> None:
    """69: run it again."""
    desk.take(A)
    desk.mock.faults.add(fault("html"))
    (desk.folder / "ids").write_text(A)
    code, results = desk.results("import", str(desk.folder / "ids"), "--apply")
    assert (code, results) == (69, [(A, "failed"), (A, "failed")])


def test_import_reads_standard_input_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for both lists."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{A}\n".encode())))
    assert desk.results("import", "-") == (0, [(A, "planned")])
    code, _, err = desk.run("import", "-", "--live", "-")
    assert code == 64
    assert "cannot both be standard input" in err


@pytest.mark.parametrize(("name", "told"), [("absent", "No such file"), ("binary", "no UTF-8 text")])
def test_import_of_what_cannot_be_read_is_wrong_usage(name: str, told: str, desk: Desk) -> None:
    """64 and a sentence that names the file."""
    (desk.folder / "binary").write_bytes(b"\xff\xfe\x00")
    code, _, err = desk.run("import", str(desk.folder / name))
    assert code == 64
    assert told in err
    assert name in err


def test_import_of_nothing_says_so(desk: Desk) -> None:
    """An empty Secret, or the mount of one that was never there, is no failure; it needs neither key nor ledger."""
    absent = str(desk.folder / "absent")
    (desk.folder / "empty").mkdir()
    for source in ("/dev/null", str(desk.folder / "empty")):
        code, out, _ = desk.run("import", source, "--apply", key_dir=absent, ledger_dir=absent)
        assert (code, out) == (0, "there is no ID in it: nothing to do\n")


# --- all of them ------------------------------------------------------------------------------------------------------


def test_the_bar_is_written_over_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal: one line that moves, gone before the next step."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    progress = Progress()
    progress.waits("watching", 30.0, 60.0)
    progress.waits("watching", 60.0, 60.0)
    progress.waits("at once", 0.0, 0.0)
    progress.step("done")
    first, second, third, rest = terminal.getvalue().split("\r", 4)[1:]
    assert first == "[############------------]  30 of 60 s  watching"
    assert second.startswith("[########################]  60 of 60 s")
    assert third.startswith("[########################]")
    assert rest.strip() == "done"
    assert rest.endswith("done\n")


def test_results_are_json_for_a_program(desk: Desk) -> None:
    """Every field of a result, and the strays."""
    desk.seat(A, "gone")
    (desk.ledger / "other.txt").write_text("")
    code, told = desk.json("reclaim")
    assert code == 0
    (result,) = told["results"]
    assert result == {
        "deployment_id": A,
        "key_fingerprint": KEY.fingerprint,
        "owner": "gone",
        "result": "released",
        "why": result["why"],
    }
    assert [it["name"] for it in told["strays"]] == ["other.txt"]
    assert json.loads(json.dumps(told)) == told


def with_ids(desk: Desk, command: list[str]) -> list[str]:
    """Return a command with a real file in place of ``IDS``."""
    file = desk.folder / "ids"
    file.write_text(A)
    return [str(file) if it == IDS else it for it in command]


def fault(name: str) -> object:
    """Return a fault of deactivations as the mock takes it."""
    from mock_activation.fault_input import parse_fault  # noqa: PLC0415 - of all tests only two need it

    return parse_fault({"fault": name, "operation": "deactivation"})
