"""``init-secrets`` over a store in memory: whose Secrets are written, when, and what others may do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import pytest

from sidecar.errors import LedgerOutage, Refused
from sidecar.hook_ports import SecretContent, SecretStore
from sidecar.operate.persistence import Persistence
from sidecar.operate.secret_writer import Done, Fate, SecretWriter, Terms
from sidecar.operate.secrets_plan import Doing, Kind, Wanted
from tests.contract.secrets_contract import SecretStoreContract
from tests.unit.operate.bench import Heard, on_virtual_time
from tests.unit.operate.memory_secrets import MemorySecrets

API_KEY, CRED, LICENSE = "mdicapsrv-api-key", "mdicapsrv-cred", "mdicapsrv-license-key"
KEY, OTHER = ("-".join(f"{letter}{number:03d}" for number in range(8)) for letter in "KO")
MINE = {"license-sidecar/release": "icap"}
HELM = {"meta.helm.sh/release-name": "icap", "meta.helm.sh/release-namespace": "here"}
KEPT = "helm.sh/resource-policy"


class TestMemorySecrets(SecretStoreContract):
    """The fake of these tests keeps the promises of the real store."""

    @pytest.fixture
    def stores(self) -> tuple[SecretStore, SecretStore]:
        """Return two handles on one store."""
        store = MemorySecrets()
        return store, store

    @pytest.fixture
    def remove(self, stores: tuple[MemorySecrets, MemorySecrets]) -> Callable[[str], object]:
        """Return what deletes a Secret."""
        return stores[0].held.pop


def plan(**given: str) -> list[Wanted]:
    """Return a plan of three; ``given`` is the licence key's."""
    values = {name: value.encode() for name, value in given.items()}
    return [
        Wanted(name=API_KEY, kind=Kind.API_KEY, labels={"team": "a"}),
        Wanted(name=CRED, kind=Kind.CREDENTIALS),
        Wanted(name=LICENSE, kind=Kind.LICENSE, given=values),
    ]


class Desk:
    """One store and the runs over it."""

    def __init__(self) -> None:
        self.store, self.heard = MemorySecrets(), Heard()

    async def run(self, wanted: list[Wanted], *, seed: int = 1, limit: float = 120.0, **terms: object) -> list[Done]:
        loop = asyncio.get_running_loop()
        persistence = Persistence(self.heard, Random(seed), deadline=loop.time() + limit)
        given = Terms(**{"release": "icap", "namespace": "here", **terms})  # type: ignore[arg-type]
        return list(await SecretWriter(self.store, given, persistence, Random(seed)).run(wanted))

    async def fates(self, wanted: list[Wanted], **terms: object) -> dict[str, Fate]:
        return {it.name: it.fate for it in await self.run(wanted, **terms)}

    def put(self, name: str, data: Mapping[str, str], notes: Mapping[str, str] = MINE, **state: bool) -> None:
        values = {field: value.encode() for field, value in data.items()}
        labels = {"app.kubernetes.io/managed-by": "Helm"} if notes == HELM else {}
        self.store.put(name, SecretContent(data=values, labels=labels, annotations=dict(notes)), **state)

    def writes(self) -> int:
        return sum(verb != "read" for verb, _ in self.store.calls)


def story(tell: Callable[[Desk], Awaitable[None]]) -> None:
    """Run a story on virtual time."""

    async def told() -> None:
        await tell(Desk())

    on_virtual_time(told)


def test_what_is_absent_is_created_and_the_second_run_writes_nothing() -> None:
    """Marked as the release's, with the plan's labels; without a key there is no Secret for it, and that is fine."""

    async def tell(desk: Desk) -> None:
        assert await desk.fates(plan()) == {API_KEY: Fate.CREATED, CRED: Fate.CREATED, LICENSE: Fate.WAITING}
        assert LICENSE not in desk.store.held
        made = desk.store.held[API_KEY]
        assert made.labels == {"app.kubernetes.io/managed-by": "license-sidecar", "team": "a"}
        assert made.annotations["license-sidecar/release"] == "icap"
        versions, writes = [desk.store.version(it) for it in (API_KEY, CRED)], desk.writes()
        again = await desk.run(plan(), seed=2)
        assert [it.fate for it in again] == [Fate.KEPT, Fate.KEPT, Fate.WAITING]
        assert "no activation key was given yet" in again[2].why
        assert ([desk.store.version(it) for it in (API_KEY, CRED)], desk.writes()) == (versions, writes)

    story(tell)


def test_an_upgrade_without_the_key_leaves_the_stored_key_alone() -> None:
    """The vendor's chart would write its placeholder over it."""

    async def tell(desk: Desk) -> None:
        assert (await desk.fates(plan(value=KEY)))[LICENSE] is Fate.CREATED
        assert (await desk.fates(plan()))[LICENSE] is Fate.KEPT
        assert desk.store.texts(LICENSE) == {"value": KEY}
        done = (await desk.run(plan(value=OTHER)))[2]
        assert (done.fate, done.doings) == (Fate.CHANGED, {"value": Doing.SET, "previous": Doing.SET})
        assert desk.store.texts(LICENSE) == {"value": OTHER, "previous": KEY}

    story(tell)


def test_one_secret_of_another_release_stops_everything_before_anything_is_written() -> None:
    """Both releases are named, and the way out as a command; ``adopt`` is the other way."""

    async def tell(desk: Desk) -> None:
        desk.put(CRED, {"user": "u", "password": "p"}, {"license-sidecar/release": "other"})
        done = {it.name: it for it in await desk.run(plan(value=KEY))}
        assert [it.fate for it in done.values()] == [Fate.UNTOUCHED, Fate.REFUSED, Fate.UNTOUCHED]
        assert "release other, and this is the release icap" in done[CRED].why
        assert f"kubectl annotate secret -n here {CRED} license-sidecar/release=icap --overwrite" in done[CRED].why
        assert desk.writes() == 0
        assert (await desk.fates(plan(value=KEY), adopt=True))[CRED] is Fate.CHANGED
        assert desk.store.texts(CRED) == {"user": "u", "password": "p"}
        assert desk.store.held[CRED].annotations["license-sidecar/release"] == "icap"

    story(tell)


@pytest.mark.parametrize(
    ("notes", "taken"),
    [
        ({}, True),
        ({"somebody": "else"}, True),
        (HELM, True),
        ({**HELM, "meta.helm.sh/release-name": "other"}, False),
        ({**HELM, "meta.helm.sh/release-namespace": "there"}, False),
        ({**HELM, "meta.helm.sh/release-name": "other", **MINE}, True),
        ({**HELM, "license-sidecar/release": "other"}, False),
    ],
)
def test_whose_a_secret_is(notes: dict[str, str], taken: bool) -> None:
    """Our mark decides; without one, Helm's; a Secret of nobody is adopted."""

    async def tell(desk: Desk) -> None:
        desk.put(CRED, {"user": "u", "password": "p"}, notes)
        fate = (await desk.fates(plan()))[CRED]
        assert fate is (Fate.CHANGED if taken else Fate.REFUSED)
        assert (desk.store.held[CRED].annotations.get("license-sidecar/release") == "icap") is taken

    story(tell)


def test_an_adopted_secret_keeps_helms_marks_and_survives_the_upgrade_that_stops_rendering_it() -> None:
    """Its values and marks stay, so that the vendor's chart can take it back; Helm is told not to delete it."""

    async def tell(desk: Desk) -> None:
        desk.put(LICENSE, {"value": KEY}, HELM)
        assert (await desk.fates(plan()))[LICENSE] is Fate.CHANGED
        adopted = desk.store.held[LICENSE]
        assert desk.store.texts(LICENSE) == {"value": KEY}
        assert adopted.labels == {"app.kubernetes.io/managed-by": "Helm"}
        assert dict(adopted.annotations).items() >= {**HELM, **MINE, KEPT: "keep"}.items()
        assert (await desk.fates(plan()))[LICENSE] is Fate.KEPT

    story(tell)


def test_a_dry_run_says_the_same_and_writes_nothing() -> None:
    """What would be created and changed, with the fields."""

    async def tell(desk: Desk) -> None:
        desk.put(LICENSE, {"value": KEY})
        dry = await desk.run(plan(value=OTHER), dry_run=True)
        assert desk.writes() == 0
        real = await desk.run(plan(value=OTHER))
        assert [(it.name, it.fate, it.doings, it.key) for it in dry] == [
            (it.name, it.fate, it.doings, it.key) for it in real
        ]

    story(tell)


def test_two_runs_at_once_end_with_one_set_of_values() -> None:
    """Whoever loses a creation takes what the other has made; both say the truth."""

    async def tell(desk: Desk) -> None:
        runs = await asyncio.gather(*(desk.run(plan(value=KEY), seed=seed) for seed in range(5)))
        for number in range(3):
            assert sorted(run[number].fate for run in runs) == [Fate.CREATED] + [Fate.KEPT] * 4
        assert desk.writes() >= 3
        assert desk.store.texts(LICENSE) == {"value": KEY}

    story(tell)


def test_rotations_at_once_lose_no_key() -> None:
    """Five runs with five keys over a sixth: one is current, the others are former ones."""
    keys = ["-".join(f"{letter}{number:03d}" for number in range(8)) for letter in "ABCDE"]

    async def tell(desk: Desk) -> None:
        desk.put(LICENSE, {"value": KEY})
        await asyncio.gather(*(desk.run(plan(value=key)[2:], seed=seed) for seed, key in enumerate(keys)))
        held = desk.store.texts(LICENSE)
        assert sorted([held["value"], *held["previous"].splitlines()]) == sorted([*keys, KEY])

    story(tell)


@pytest.mark.parametrize("call", range(1, 7))
def test_a_run_that_is_cut_off_anywhere_is_finished_by_the_next(call: int) -> None:
    """Killed before any of its calls: what is written is whole, and the next run ends where one run would."""

    async def tell(desk: Desk) -> None:
        desk.store.script = [None] * (call - 1) + [asyncio.CancelledError()]  # type: ignore[list-item]
        with pytest.raises(asyncio.CancelledError):
            await desk.run(plan(value=KEY))
        before = {name: desk.store.texts(name) for name in desk.store.held}
        await desk.run(plan(value=KEY), seed=2)
        assert {name: desk.store.texts(name) for name in before} == before
        assert set(desk.store.held) == {API_KEY, CRED, LICENSE}

    story(tell)


def test_a_write_whose_answer_is_lost_is_seen_to_be_done() -> None:
    """The next attempt conflicts, the next look finds nothing to do; what was generated is not generated again."""

    async def tell(desk: Desk) -> None:
        desk.store.lost = 1
        assert await desk.fates(plan(value=KEY)) == {API_KEY: Fate.KEPT, CRED: Fate.CREATED, LICENSE: Fate.CREATED}
        assert [name for verb, name in desk.store.calls if verb == "create"].count(API_KEY) == 2
        assert desk.store.version(API_KEY) == 1

    story(tell)


def test_somebody_who_writes_all_the_time_is_told() -> None:
    """Ten conflicts are enough to say so, and nothing of ours has been written over his."""

    async def tell(desk: Desk) -> None:
        desk.put(CRED, {"user": "u"})

        async def another() -> None:
            desk.put(CRED, {"user": "theirs"})

        desk.store.before = another
        with pytest.raises(LedgerOutage, match="changes all the time"):
            await desk.run(plan()[1:2])
        assert desk.store.texts(CRED) == {"user": "theirs"}

    story(tell)


def test_a_secret_that_becomes_anothers_meanwhile_is_not_written() -> None:
    """The owner is looked at again after a conflict."""

    async def tell(desk: Desk) -> None:
        desk.put(CRED, {"user": "u"})

        async def another() -> None:
            desk.put(CRED, {"user": "theirs"}, {"license-sidecar/release": "other"})

        desk.store.before = another
        assert await desk.fates(plan()[1:2]) == {CRED: Fate.REFUSED}
        assert desk.store.texts(CRED) == {"user": "theirs"}

    story(tell)


def test_rights_that_come_late_are_waited_for() -> None:
    """A hook's Role is made a moment before its Job: 403 is tried again, and told once."""

    async def tell(desk: Desk) -> None:
        desk.store.script = [LedgerOutage("the API server answers 403", lasting=True)] * 8
        assert (await desk.fates(plan()))[API_KEY] is Fate.CREATED
        assert len(desk.heard.steps) == 1
        assert (
            f"reading the Secret {API_KEY}: the API server answers 403; asking again for up to" in desk.heard.steps[0]
        )

    story(tell)


def test_rights_that_never_come_are_believed_after_half_a_minute() -> None:
    """Although there would be time for more."""

    async def tell(desk: Desk) -> None:
        desk.store.script = [LedgerOutage("the API server answers 403", lasting=True)] * 1000
        with pytest.raises(LedgerOutage, match="403"):
            await desk.run(plan(), limit=300.0)
        assert 20.0 < asyncio.get_running_loop().time() <= 30.0

    story(tell)


def test_an_outage_is_tried_again_to_the_end_of_the_time() -> None:
    """And an outage that ends, however late, is none; one in the middle of the run does no harm."""

    async def tell(desk: Desk) -> None:
        desk.store.script = [None] * 4 + [LedgerOutage("no connection")] * 20
        assert (await desk.fates(plan(value=KEY)))[LICENSE] is Fate.CREATED
        assert asyncio.get_running_loop().time() > 30.0
        desk.store.script = [LedgerOutage("no connection", retry_after=7.0)] * 1000
        began = asyncio.get_running_loop().time()
        with pytest.raises(LedgerOutage, match="no connection"):
            await desk.run(plan(), limit=50.0)
        assert 42.0 <= asyncio.get_running_loop().time() - began <= 50.0

    story(tell)


def test_an_immutable_secret_is_told_only_if_it_would_have_to_change() -> None:
    """Marking it is allowed; a new value is not, and is said with what to do."""

    async def tell(desk: Desk) -> None:
        desk.put(LICENSE, {"value": KEY}, {}, immutable=True)
        assert (await desk.fates(plan(value=KEY)))[LICENSE] is Fate.CHANGED
        with pytest.raises(Refused, match="is immutable"):
            await desk.run(plan(value=OTHER))
        assert desk.store.texts(LICENSE) == {"value": KEY}

    story(tell)


def test_a_secret_that_is_being_deleted_is_waited_for() -> None:
    """What is written into it would be lost: it is made anew once it is gone."""

    async def tell(desk: Desk) -> None:
        desk.put(CRED, {"user": "u"}, deleting=True)
        asyncio.get_running_loop().call_later(9.0, desk.store.held.pop, CRED)
        assert (await desk.fates(plan()))[CRED] is Fate.CREATED
        assert "being deleted" in desk.heard.steps[0]

    story(tell)
