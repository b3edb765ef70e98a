"""What only a misbehaving API server shows of the ledger of Leases; how it keeps records is the contract's affair."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from sidecar.adapters.lease_ledger import LeaseLedger
from sidecar.adapters.lease_record import encode
from sidecar.core.records import Claim, Listing, Phase
from sidecar.errors import Conflict, LedgerOutage
from sidecar.patience import PatientLedger
from tests.contract.seats import seat
from tests.unit.adapters.api_server import ApiServer, Watcher, api, items, status
from tests.unit.adapters.raw_server import Tls


class Leases:
    """Leases by name, with versions; ``refuse`` are answers to give first, one each; ``watch`` what a watch sends."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.refuse: list[tuple[int, dict[str, str]]] = []
        self.watch: list[tuple[str, dict[str, Any]]] = []
        self.versions = 0

    def put(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Keep a Lease as somebody wrote it."""
        self.versions += 1
        meta = {
            "uid": f"u-{lease['metadata']['name'][-4:]}",
            **lease["metadata"],
            "resourceVersion": str(self.versions),
        }
        self.held[meta["name"]] = {**lease, "metadata": meta}
        return self.held[meta["name"]]

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if self.refuse:
            code, headers = self.refuse.pop(0)
            return web.json_response(status(code, "no"), status=code, headers=headers)
        if request.query.get("watch") == "1":
            response = web.StreamResponse()
            await response.prepare(request)
            for kind, lease in self.watch:
                await response.write(web.json_response({"type": kind, "object": lease}).body + b"\n")  # type: ignore[operator]
                await asyncio.sleep(0.02)
            await asyncio.sleep(60 if not self.refuse else 0)
            return response
        name = request.path.partition("/leases")[2].strip("/")
        match request.method:
            case "GET" if not name:
                assert request.query["labelSelector"].count("=") == 2
                return web.json_response(items(*self.held.values(), kind="LeaseList"))
            case "POST":
                return web.json_response(self.put(await request.json()), status=201)
            case "PUT" if name in self.held:
                return web.json_response(self.put(await request.json()))
            case _:
                found = self.held.get(name)
                return web.json_response(found or status(404, "none"), status=200 if found else 404)


@asynccontextmanager
async def ledger(leases: Leases, tls: Tls, folder: Path) -> AsyncIterator[tuple[LeaseLedger, ApiServer]]:
    """Open the ledger that these Leases are."""
    async with ApiServer(leases, tls.server) as server:
        client = api(folder, server.url, tls)
        yield LeaseLedger(client, "icap", lease=60.0, random=Random(1), observer=Watcher()), server  # type: ignore[arg-type]
        await client.aclose()


@pytest.mark.parametrize(("code", "lasting"), [(401, False), (403, True), (422, True), (429, False), (500, False)])
async def test_every_call_fails_as_an_outage(code: int, lasting: bool, tls: Tls, tmp_path: Path) -> None:
    """Neither an empty ledger nor a lost record: nothing is known."""
    leases = Leases()
    async with ledger(leases, tls, tmp_path) as (it, server):
        stored = await it.create(seat())
        calls = [
            it.list,
            lambda: it.read(stored.name),
            lambda: it.create(seat("MSCL2")),
            lambda: it.replace(stored, seat(phase=Phase.ACTIVE)),
            lambda: it.erase(stored),
        ]
        for call in calls:
            leases.refuse = [(code, {})]
            with pytest.raises(LedgerOutage) as caught:
                await call()
            assert caught.value.lasting is lasting
        assert len(server.asked) == 1 + len(calls), "one call is one attempt"
        leases.refuse = [(code, {})]
        async with aclosing(it.follow()) as listings:
            with pytest.raises(LedgerOutage):
                await anext(listings)


@pytest.mark.parametrize("then", [403, 500])
async def test_a_conflict_that_cannot_be_looked_at_is_an_outage(then: int, tls: Tls, tmp_path: Path) -> None:
    """Whether somebody else wrote is not known before it was read."""
    leases = Leases()
    async with ledger(leases, tls, tmp_path) as (it, _):
        stored = await it.create(seat())
        for call in (lambda: it.replace(stored, seat(open=False)), lambda: it.erase(stored), lambda: it.create(seat())):
            leases.refuse = [(409, {}), (then, {})]
            with pytest.raises(LedgerOutage):
                await call()


async def test_a_conflict_shows_what_is_there(tls: Tls, tmp_path: Path) -> None:
    """Another version, or nothing any more."""
    leases = Leases()
    async with ledger(leases, tls, tmp_path) as (it, _):
        stored = await it.create(seat())
        leases.refuse = [(409, {})]
        with pytest.raises(Conflict) as caught:
            await it.replace(stored, seat(open=False))
        assert caught.value.current == stored
        leases.held.clear()
        with pytest.raises(Conflict) as caught:
            await it.erase(stored)
        assert caught.value.current is None


async def test_a_stray_in_the_way_is_an_outage_that_lasts(tls: Tls, tmp_path: Path) -> None:
    """Somebody's Lease under a record's name: it is neither believed nor replaced, and listed as a stray."""
    leases = Leases()
    name = seat().identity.name
    lease = encode(seat(), "icap", lease=60.0, over=None)
    lease["metadata"]["annotations"] = {}
    lease["spec"]["holderIdentity"] = "somebody"
    leases.put(lease)
    async with ledger(leases, tls, tmp_path) as (it, _):
        listing = await it.list()
        assert listing.records == ()
        assert [stray.name for stray in listing.strays] == [name]
        with pytest.raises(LedgerOutage, match="in the way") as caught:
            await it.read(name)
        assert caught.value.lasting
        leases.refuse = [(409, {})]
        with pytest.raises(LedgerOutage, match="in the way"):
            await it.create(seat())


async def test_our_own_lease_that_somebody_damaged_is_shown_as_our_record(tls: Tls, tmp_path: Path) -> None:
    """Under the Lease's new version, so that its owner can write it again, or erase it."""
    leases = Leases()
    async with ledger(leases, tls, tmp_path) as (it, _):
        first = await it.create(seat(open=False))
        lease = leases.held[first.name]
        note = {"license-sidecar/claimed-by": "peer", "license-sidecar/open": "true", "license-sidecar/writes": "7"}
        leases.put({**lease, "metadata": {**lease["metadata"], "labels": {}, "annotations": note}})
        for call in (lambda: it.replace(first, seat(phase=Phase.ACTIVE)), lambda: it.erase(first)):
            leases.refuse = [(409, {})]
            with pytest.raises(Conflict) as caught:
                await call()
            current = caught.value.current
            assert current is not None
            assert current.record == seat(open=True, claim=Claim("peer", 0.0)), "what may be under way is believed"
            assert current.version == f"{leases.held[first.name]['metadata']['uid']}/2/7"
        with pytest.raises(LedgerOutage, match="in the way"):
            await it.read(first.name)
        again = await it.replace(current, seat(phase=Phase.ACTIVE))
        assert await it.read(first.name) == again


@pytest.mark.parametrize(
    "change",
    [{"uid": "another"}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, {"uid": ""}, {"labels": "odd"}],
    ids=["another Lease", "being deleted", "without a uid", "no mapping"],
)
async def test_a_damaged_lease_that_is_not_certainly_ours_stays_in_the_way(
    change: dict[str, Any], tls: Tls, tmp_path: Path
) -> None:
    """One that a backup brought back, or that may vanish at any moment: a person has to look."""
    leases = Leases()
    async with ledger(leases, tls, tmp_path) as (it, _):
        first = await it.create(seat())
        lease = leases.held[first.name]
        leases.put({**lease, "metadata": {**lease["metadata"], "annotations": {}, **change}})
        for call in (lambda: it.replace(first, seat(phase=Phase.ACTIVE)), lambda: it.erase(first)):
            leases.refuse = [(409, {})]
            with pytest.raises(LedgerOutage):
                await call()


@pytest.mark.parametrize(
    ("holder", "note", "ours"),
    [(seat().owner.uid, "", True), ("", seat().owner.uid, True), ("peer", "peer", False), ("", "", False)],
    ids=["the holder", "the annotation", "another pod", "nobody"],
)
async def test_a_damaged_lease_in_the_way_of_a_new_record_is_ours_if_it_names_us(
    holder: str, note: str, ours: bool, tls: Tls, tmp_path: Path
) -> None:
    """A restarted sidecar remembers no uid: whose Lease it is, the Lease must say."""
    leases = Leases()
    lease = encode(seat(), "icap", lease=60.0, over=None)
    lease["metadata"]["annotations"] = {"license-sidecar/pod-uid": note}
    lease["spec"]["holderIdentity"] = holder
    leases.put(lease)
    async with ledger(leases, tls, tmp_path) as (it, _):
        leases.refuse = [(409, {})]
        with pytest.raises(Conflict if ours else LedgerOutage) as caught:
            await it.create(seat())
        if isinstance(caught.value, Conflict):
            current = caught.value.current
            assert current is not None
            assert current.record == seat()
            assert (await it.replace(current, seat(open=False))).record.open is False


async def test_another_seats_record_is_a_bug(tls: Tls, tmp_path: Path) -> None:
    """A record keeps its identity."""
    async with ledger(Leases(), tls, tmp_path) as (it, _):
        stored = await it.create(seat())
        with pytest.raises(ValueError, match="identity"):
            await it.replace(stored, seat("MSCL2"))


async def test_followers_see_each_change(tls: Tls, tmp_path: Path) -> None:
    """The content, then each event; a bookmark is none."""
    leases = Leases()
    one, two = (encode(seat(name), "icap", lease=60.0, over=None) for name in ("MSCL1", "MSCL2"))
    first, second = leases.put(one), leases.put(two)
    del leases.held[second["metadata"]["name"]]
    bookmark = {"kind": "Lease", "metadata": {"resourceVersion": "500"}}
    odd = {"kind": "Lease", "metadata": "odd"}
    leases.watch = [("BOOKMARK", bookmark), ("ADDED", second), ("DELETED", first)]
    async with ledger(leases, tls, tmp_path) as (it, _), aclosing(it.follow()) as listings, asyncio.timeout(10):
        seen: list[Listing] = [await anext(listings) for _ in range(3)]
    assert [[each.record.identity.deployment_id for each in sorted(listing.records, key=str)] for listing in seen] == [
        ["MSCL1"],
        ["MSCL1", "MSCL2"],
        ["MSCL2"],
    ]
    leases.held["odd"] = odd
    async with ledger(leases, tls, tmp_path) as (it, _):
        assert [stray.name for stray in (await it.list()).strays] == [""]


# --- patience ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "asked", "pauses"),
    [
        ([(500, {})], 2, 1),
        ([(500, {}), (500, {})], 3, 2),
        ([(429, {"Retry-After": "1"})], 2, 1),
    ],
)
async def test_a_short_trouble_is_waited_out(
    answers: list[tuple[int, dict[str, str]]], asked: int, pauses: int, tls: Tls, tmp_path: Path
) -> None:
    """Up to three attempts, not sooner than the server wishes."""
    leases, slept = Leases(), []
    leases.refuse = list(answers)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with ledger(leases, tls, tmp_path) as (it, server):
        assert (await PatientLedger(it, Random(1), sleep).list()).records == ()
        assert len(server.asked) == asked
    assert len(slept) == pauses
    assert slept[0] >= float(answers[0][1].get("Retry-After", "0"))
    assert max(slept) <= 1.0


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([(403, {})] * 9, 1),
        ([(422, {})] * 9, 1),
        ([(429, {"Retry-After": "30"})] * 9, 1),
        ([(500, {})] * 9, 3),
        ([(401, {})] * 9, 3),
    ],
)
async def test_a_lasting_trouble_is_told_at_once(
    answers: list[tuple[int, dict[str, str]]], asked: int, tls: Tls, tmp_path: Path
) -> None:
    """A Role must change, or the server wishes for a longer pause: the machine waits, not the call."""
    leases = Leases()
    leases.refuse = list(answers)

    async def sleep(_seconds: float) -> None:
        return None

    async with ledger(leases, tls, tmp_path) as (it, server):
        with pytest.raises(LedgerOutage):
            await PatientLedger(it, Random(1), sleep).list()
        assert len(server.asked) == asked
