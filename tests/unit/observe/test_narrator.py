"""Log lines: each change of the state with its cause, and an outage of hours in a few lines."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.commands import Notice, Occasion
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Identity, Phase
from sidecar.core.view import Stage, View, describe
from sidecar.observe.narrator import DEBUG, ERROR, INFO, WARNING, Narrator
from sidecar.ports import ReclaimResult
from tests.unit.observe import states
from tests.unit.observe.states import IDENTITY, NOW, Clock


class Lines:
    def __init__(self) -> None:
        self.lines: list[tuple[int, str, dict[str, Any]]] = []

    def log(self, level: int, event: str, **fields: Any) -> None:
        self.lines.append((level, event, fields))

    def from_info_up(self) -> list[tuple[int, str, dict[str, Any]]]:
        return [line for line in self.lines if line[0] >= INFO]

    def events(self) -> list[str]:
        return [event for _level, event, _fields in self.lines]


class Told:
    """A narrator, what it wrote, and its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.log = Lines()
        self.narrator = Narrator(self.clock, self.log)

    def notice(self, occasion: Occasion, reason: str = "", text: str = "", identity: Identity | None = None) -> None:
        self.narrator.noticed(Notice(occasion=occasion, reason=reason, text=text, identity=identity))


@pytest.fixture
def told() -> Told:
    """Give a narrator whose lines are kept."""
    return Told()


def test_each_change_of_the_state_is_one_line_with_its_cause(told: Told) -> None:
    """State before, state now, and why: the sentence of the view."""
    view = describe(states.refused("Your key is in use elsewhere", Failure.REFUSED), NOW)
    told.narrator.moved(View(Stage.ACTIVATING, started=True, why="asks"))
    told.narrator.moved(view)
    assert told.log.lines == [
        (INFO, "state changed", {"state": "activating", "why": "asks"}),
        (
            ERROR,
            "state changed",
            {"state": "refused", "why": "Your key is in use elsewhere", "before": "activating"},
        ),
    ]


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [
        (Stage.DELIVERING, Stage.ACTIVE, INFO),
        (Stage.ACTIVE, Stage.GRACE, WARNING),
        (Stage.ACTIVE, Stage.DELIVERING, WARNING),
        (Stage.GRACE, Stage.WAITING_FOR_APP, WARNING),
        (Stage.ACTIVE, Stage.STOPPING, INFO),
        (Stage.ACTIVATING, Stage.WAITING, WARNING),
        (Stage.ACTIVATING, Stage.REFUSED, ERROR),
    ],
)
def test_losing_readiness_is_louder_than_gaining_it(told: Told, before: Stage, after: Stage, level: int) -> None:
    """An operator who looks at warnings sees each loss of readiness that is not a stop."""
    told.narrator.moved(View(before, started=True, why="first"))
    told.narrator.moved(View(after, started=True, why="then"))
    assert told.log.lines[-1][0] == level


def test_an_outage_of_a_day_is_some_lines_an_hour(told: Told) -> None:
    """A retry every minute: the first, powers of two, then one in five minutes, each with its count and duration."""
    for _ in range(24 * 60):
        told.notice(Occasion.ACTIVATION_ASKED, identity=IDENTITY)
        told.notice(Occasion.ACTIVATION_FAILED, Failure.TIMEOUT, "no answer within 10 s", IDENTITY)
        told.clock.now += 60
    counts = [fields.get("times", 1) for _level, _event, fields in told.log.from_info_up()]
    assert counts[:6] == [1, 2, 4, 8, 13, 16]
    assert 24 * 12 <= len(counts) <= 24 * 12 + 11
    assert told.log.from_info_up()[-1][2]["for_seconds"] > 86000


def test_a_burst_is_told_at_powers_of_two(told: Told) -> None:
    """A hundred retries within a second are seven lines."""
    for _ in range(100):
        told.notice(Occasion.RECORD_FAILED, Failure.LEDGER, "ledger.dir: no space left")
        told.clock.now += 0.01
    counts = [fields.get("times", 1) for _level, _event, fields in told.log.lines]
    assert counts == [1, 2, 4, 8, 16, 32, 64]


def test_another_reason_is_another_story(told: Told) -> None:
    """A time-out that becomes a TLS error is told at once."""
    for reason in (Failure.TIMEOUT, Failure.TIMEOUT, Failure.TIMEOUT, Failure.TLS):
        told.notice(Occasion.ACTIVATION_FAILED, reason, "some text")
    assert [fields["reason"] for _level, _event, fields in told.log.lines] == ["timeout", "timeout", "tls"]


@pytest.mark.parametrize(
    ("reason", "event"),
    [
        (Failure.TIMEOUT, "no answer to the release"),
        (Failure.PROTOCOL, "the release was not confirmed"),
        (Failure.HTTP_5XX, "the release was not confirmed"),
    ],
)
def test_an_answer_that_confirms_no_release_is_called_an_answer(told: Told, reason: Failure, event: str) -> None:
    """Whoever reads "no answer" looks at the network; a 200 with `error:` is for the server's people."""
    told.notice(Occasion.RELEASE_FAILED, reason, "activation server: status 200, but it says: no", IDENTITY)
    ((_level, said, fields),) = told.log.lines
    assert (said, fields["why"]) == (event, "activation server: status 200, but it says: no")


def test_an_outage_is_told_across_deployment_ids(told: Told) -> None:
    """An app that crashes for hours has a new ID each time; that makes no new outage."""
    for number in range(50):
        identity = Identity("https://activation.example", "0123456789ab", f"MSIC{number}")
        told.notice(Occasion.ACTIVATION_FAILED, Failure.NETWORK, "no connection", identity)
    assert len(told.log.lines) == 6


def test_the_end_of_an_outage_is_told_once(told: Told) -> None:
    """And says how many times and for how long it was in trouble."""
    told.notice(Occasion.RECORD_RENEWED)
    for _ in range(3):
        told.notice(Occasion.RECORD_FAILED, Failure.LEDGER, "ledger.dir: read-only")
        told.clock.now += 10
    for _ in range(3):
        told.notice(Occasion.RECORD_RENEWED)
    ends = [line for line in told.log.lines if line[1] == "the ledger works again"]
    assert ends == [(INFO, "the ledger works again", {"times": 3, "for_seconds": 30.0})]


def test_what_flaps_for_hours_is_not_new_each_time(told: Told) -> None:
    """Every second renewal fails for three hours: far fewer lines than failures."""
    for _ in range(360):
        told.notice(Occasion.RECORD_FAILED, Failure.LEDGER, "ledger.dir: no space left")
        told.clock.now += 15
        told.notice(Occasion.RECORD_RENEWED)
        told.clock.now += 15
    assert len(told.log.lines) <= 2 * (36 + 9)


def test_what_comes_back_after_a_quiet_time_is_new(told: Told) -> None:
    """Five minutes of peace: the next failure counts from one."""
    for _ in range(3):
        told.notice(Occasion.RECORD_FAILED, Failure.LEDGER, "ledger.dir: no space left")
    told.notice(Occasion.RECORD_RENEWED)
    told.clock.now += 301
    told.notice(Occasion.RECORD_FAILED, Failure.LEDGER, "ledger.dir: no space left")
    assert "times" not in told.log.lines[-1][2]


def test_heartbeats_that_succeed_say_nothing(told: Told) -> None:
    """Silence is what a healthy sidecar writes."""
    for _ in range(100):
        told.notice(Occasion.RECORD_RENEWED)
        told.notice(Occasion.APP_CHECKED)
    assert told.log.lines == []


def test_attempts_are_told_only_to_who_asks_for_everything(told: Told) -> None:
    """Asking is `debug`; what came of it is the news."""
    told.notice(Occasion.ACTIVATION_ASKED, identity=IDENTITY)
    told.notice(Occasion.RELEASE_ASKED, "shutdown", identity=IDENTITY)
    assert {level for level, _event, _fields in told.log.lines} == {DEBUG}


def test_a_notice_names_the_seat_by_id_and_fingerprint(told: Told) -> None:
    """What an operator needs to find it in the vendor's portal; never the key."""
    told.notice(Occasion.RELEASED, "shutdown", identity=IDENTITY)
    assert told.log.lines == [
        (
            INFO,
            "seat released",
            {"deployment_id": states.ID, "key_fingerprint": states.FINGERPRINT, "reason": "shutdown"},
        )
    ]


def test_each_seat_handed_over_is_told(told: Told) -> None:
    """Facts about different seats are not repeats of each other."""
    for _ in range(5):
        told.notice(Occasion.HANDED_OVER, identity=IDENTITY)
    told.notice(Occasion.ADOPTED, identity=IDENTITY)
    told.notice(Occasion.ADOPTED, identity=Identity("https://activation.example", "0123456789ab", states.OTHER_ID))
    assert told.log.events() == ["seat handed over"] * 5 + ["found our own seat record"] * 2


@pytest.mark.parametrize(
    ("end", "line"),
    [(Occasion.KEY_USABLE, "activation key usable again"), (Occasion.KEY_CHANGED, "activation key taken")],
)
def test_an_unusable_key_ends_once(told: Told, end: Occasion, line: str) -> None:
    """The same key is back, or another one is taken: one line says so, and the next trouble is told anew."""
    for _ in range(2):
        told.notice(Occasion.KEY_UNUSABLE, text="value is empty")
        told.notice(end)
    assert told.log.events() == ["activation key unusable", line] * 2


@pytest.mark.parametrize(
    ("occasion", "reason", "level"),
    [
        (Occasion.ACTIVATION_REFUSED, Failure.EXPIRED, ERROR),
        (Occasion.ACTIVATION_REFUSED, Failure.NO_SEATS, WARNING),
        (Occasion.APP_UNANSWERED, AppTrouble.REFUSED, INFO),
        (Occasion.APP_UNANSWERED, AppTrouble.FORBIDDEN, WARNING),
        (Occasion.KEY_UNUSABLE, "", WARNING),
        (Occasion.RECORD_FOREIGN, "", ERROR),
    ],
)
def test_levels_say_who_should_care(told: Told, occasion: Occasion, reason: str, level: int) -> None:
    """`error`: somebody has to do something; `warning`: may pass; `info`: the story."""
    told.notice(occasion, reason, "text")
    assert told.log.lines[0][0] == level


def test_no_free_seat_is_no_warning_while_it_is_only_waited_for(told: Told) -> None:
    """Rule 14: a rolling update; the refusal is told once it is one, and an answer in the state refused at once."""
    sentence = "All seats are in use"
    told.narrator.moved(View(Stage.ACTIVATING, started=True, why="asks"))
    told.notice(Occasion.ACTIVATION_REFUSED, Failure.NO_SEATS, sentence, IDENTITY)
    told.narrator.moved(View(Stage.WAITING, started=True, why=sentence))
    told.notice(Occasion.ACTIVATION_REFUSED, Failure.NO_SEATS, sentence, IDENTITY)
    assert [(level, event) for level, event, _ in told.log.lines if event != "state changed"] == [
        (INFO, "no free seat"),
        (INFO, "no free seat"),
    ]
    told.log.lines.clear()
    told.narrator.moved(View(Stage.REFUSED, started=True, why=sentence))
    told.notice(Occasion.ACTIVATION_REFUSED, Failure.NO_SEATS, sentence, IDENTITY)
    assert [(level, event, fields.get("times")) for level, event, fields in told.log.lines] == [
        (WARNING, "activation refused", None),
        (ERROR, "state changed", None),
        (WARNING, "activation refused", 2),
    ]


def test_what_was_waited_for_and_taken_is_no_refusal_later(told: Told) -> None:
    """The seat came; whatever refuses this pod hours later has its own reason."""
    told.narrator.moved(View(Stage.WAITING, started=True, why="in use"))
    told.notice(Occasion.ACTIVATION_REFUSED, Failure.NO_SEATS, "in use", IDENTITY)
    told.notice(Occasion.ACTIVATED, identity=IDENTITY)
    told.narrator.moved(View(Stage.ACTIVE, started=True, why="ours"))
    told.narrator.moved(View(Stage.REFUSED, started=True, why="another instance has this ID"))
    assert "activation refused" not in told.log.events()


def test_every_occasion_has_a_line_or_ends_one(told: Told) -> None:
    """No notice of the core is lost by forgetting."""
    silent = []
    for occasion in Occasion:
        before = len(told.log.lines)
        told.notice(occasion, text="text", identity=IDENTITY)
        if len(told.log.lines) == before:
            silent.append(occasion)
    # The end of the ledger's trouble comes before its beginning in this order, the app's too.
    assert set(silent) == {Occasion.RECORD_RENEWED, Occasion.APP_CHECKED}


def test_reclaims_are_told_for_each_seat_and_unknown_keys_for_each_key(told: Told) -> None:
    """A thousand records under one unknown key, found by every scan, are one story."""
    for number in range(1000):
        record = states.record(Identity("https://activation.example", "ffffffffffff", f"MSIC{number}"))
        told.narrator.reclaimed(record, ReclaimResult.UNKNOWN_KEY, "key ffffffffffff is not known here")
    assert len(told.log.lines) == 10
    told.log.lines.clear()
    told.narrator.reclaimed(states.record(), ReclaimResult.RELEASED, "its owner is gone")
    assert told.log.lines == [
        (
            INFO,
            "orphan's seat released",
            {
                "why": "its owner is gone",
                "deployment_id": states.ID,
                "key_fingerprint": states.FINGERPRINT,
                "owner": "web-0",
            },
        )
    ]


def test_scans_tell_changes_and_failures(told: Told) -> None:
    """The number of orphans when it changes; a scan that fails, and that it works again."""
    told.narrator.scanned({Phase.ACTIVE: 2}, {})
    told.narrator.scanned({Phase.ACTIVE: 2}, {Phase.ACTIVE: 1})
    told.narrator.scanned({Phase.ACTIVE: 2}, {Phase.ACTIVE: 1})
    told.narrator.scan_failed("ledger.dir: gone")
    told.narrator.scanned({Phase.ACTIVE: 1}, {})
    assert told.log.events() == [
        "orphans in the ledger",
        "the ledger was not scanned",
        "the ledger is scanned again",
        "orphans in the ledger",
    ]


def test_what_is_left_alone_is_told_once_and_again_when_its_reason_is_another(told: Told) -> None:
    """Each scan finds it again; a person needs its name, why, and where to look."""
    for found in ({"seat-1": "torn"}, {"seat-1": "torn", "seat-2": "another boot"}, {"seat-1": "newer"}, {}):
        for _ in range(3):
            told.narrator.left_alone(found)
    assert {(level, event) for level, event, _ in told.log.lines} == {(WARNING, "left alone in the ledger")}
    assert [(it["name"], it["why"]) for _, _, it in told.log.lines] == [
        ("seat-1", "torn"),
        ("seat-2", "another boot"),
        ("seat-1", "newer"),
    ]
    assert all("license-sidecar list" in it["look"] for _, _, it in told.log.lines)


def test_much_that_is_left_alone_is_few_lines(told: Told) -> None:
    """A restored backup is one story, and so is a reason that flaps."""
    told.narrator.left_alone({f"seat-{number}": "brought back from a backup" for number in range(1000)})
    assert told.log.events() == ["left alone in the ledger"] * 20 + ["more is left alone in the ledger"]
    assert told.log.lines[-1][2]["more"] == 980
    told.log.lines.clear()
    for number in range(100):
        told.narrator.left_alone({"seat": "torn"} if number % 2 else {})
    assert len(told.log.lines) == 6


def test_rows_that_nobody_ended_are_forgotten(told: Told) -> None:
    """Rows carry names of records: a year of reclaims must not stay in memory."""
    for number in range(400):
        record = states.record(Identity("https://activation.example", "0123456789ab", f"MSIC{number}"))
        told.narrator.reclaimed(record, ReclaimResult.RELEASED, "gone")
        told.clock.now += 86400
    assert len(told.narrator._repeats._runs) <= 2
