"""A ledger of Leases as it is opened: one busy moment of the API server ends neither a look nor a list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from sidecar import ledgers, wiring
from sidecar.config import Surroundings, load
from sidecar.core.records import Owner, Standing
from sidecar.errors import LedgerOutage
from sidecar.ledgers import Opened, open_ledger
from sidecar.observe.bystander import Bystander
from tests.unit.adapters.api_server import ApiServer, account, items, status
from tests.unit.adapters.raw_server import Tls


class Busy:
    """Answers every other question with 429, and shows every pod; ``wish``: seconds until the next attempt."""

    def __init__(self, wish: str) -> None:
        self.wish = wish
        self.times = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.times += 1
        if self.times % 2:
            return web.json_response(status(429, "busy"), status=429, headers={"Retry-After": self.wish})
        name = request.path.rpartition("/")[2]
        if name == "leases":
            return web.json_response(items(kind="LeaseList"))
        if name == "pods":
            return web.json_response(items(pod("icap-1")))
        return web.json_response(pod(name))


def pod(name: str) -> dict[str, Any]:
    """Return a pod that runs."""
    return {"kind": "Pod", "metadata": {"name": name, "uid": f"uid-{name}"}, "status": {"phase": "Running"}}


class Surrounded:
    """A pod beside this API server; ``slept`` are the pauses between attempts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, url: str, tls: Tls, folder: Path) -> None:
        self.slept: list[float] = []
        account(folder, url, tls.ca_file)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", url.rpartition(":")[2])
        monkeypatch.setattr(ledgers, "asyncio", SimpleNamespace(sleep=self.sleep))
        flags = {"ledger.kind": "kubernetes", "ledger.account_dir": str(folder)}
        flags |= {"pod.name": "icap-0", "pod.uid": "uid-icap-0", "pod.namespace": "icap"}
        self.config = load(flags, surroundings=Surroundings(environ={}, host_name="icap-0"))

    async def sleep(self, seconds: float) -> None:
        """Take note of a pause."""
        self.slept.append(seconds)

    @asynccontextmanager
    async def opened(self, *, enter: bool) -> AsyncIterator[Opened]:
        """Open the ledger as a running sidecar (``enter``) or as a person's command."""
        opened = open_ledger(self.config, Bystander(), Random(1), enter=enter)
        try:
            yield opened
        finally:
            await opened.close()


@pytest.mark.parametrize(("enter", "wish"), [(True, "1"), (False, "8")])
async def test_a_busy_api_server_is_waited_for(
    enter: bool, wish: str, tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of the questions of a scan, as long as it wishes; a person's command waits for longer."""
    async with ApiServer(Busy(wish), tls.server) as server:
        it = Surrounded(monkeypatch, server.url, tls, tmp_path)
        async with it.opened(enter=enter) as opened:
            owner = Owner("icap-1", "uid-icap-1", "icap")
            assert (await opened.ledger.list()).records == ()
            assert await opened.owners.sees_itself()
            assert (await opened.owners.look(owner)).standing is Standing.LIVE
    assert len(it.slept) == 3
    assert min(it.slept) >= float(wish)


async def test_a_running_sidecar_does_not_wait_for_long(
    tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back by itself, and its stop has no time to lose."""
    async with ApiServer(Busy("8"), tls.server) as server:
        it = Surrounded(monkeypatch, server.url, tls, tmp_path)
        async with it.opened(enter=True) as opened:
            with pytest.raises(LedgerOutage) as told:
                await opened.owners.sees_itself()
            assert told.value.retry_after == 8
    assert it.slept == []


async def test_pods_by_name_are_waited_for(tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``import`` looks at a pod for each ID that was left behind."""
    async with ApiServer(Busy("0"), tls.server) as server:
        it = Surrounded(monkeypatch, server.url, tls, tmp_path)
        async with wiring.named_pods(it.config) as pods:
            sight = await pods.look("icap-1")
    assert sight is not None
    assert sight.standing is Standing.LIVE


async def test_pages_that_became_history_begin_anew(tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """410 in the middle of a glance: the list is asked for again, from its first page."""
    lists = [items(pod("icap-1"), more="m1"), status(410, "expired"), items(pod("icap-1")), items()]

    async def expire(_request: web.Request) -> web.StreamResponse:
        told = lists.pop(0)
        return web.json_response(told, status=told.get("code", 200))

    async with ApiServer(expire, tls.server) as server:
        it = Surrounded(monkeypatch, server.url, tls, tmp_path)
        async with it.opened(enter=True) as opened:
            owners = [Owner(f"icap-{number}", f"uid-icap-{number}", "icap") for number in range(20)]
            assert set(await opened.owners.glance(owners)) == {"uid-icap-1"}
    assert lists == []
