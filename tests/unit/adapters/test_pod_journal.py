"""Events on our own pod: what is sent, what is cut, and that a refusal is an outage like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from sidecar.adapters.pod_journal import ApiPodJournal
from sidecar.core.records import Owner
from sidecar.errors import LedgerOutage
from tests.unit.adapters.api_server import ApiServer, Watcher, api, status
from tests.unit.adapters.raw_server import Tls

US = Owner(pod="icap-0", uid="uid-us", namespace="icap", node="node-1")


async def test_an_event_belongs_to_our_pod(tls: Tls, tmp_path: Path) -> None:
    """As ``kubectl describe pod`` finds it: by uid, with one time, and a note that the server takes."""
    codes = [201, 403]

    async def story(_request: web.Request) -> web.StreamResponse:
        code = codes.pop(0)
        return web.json_response({"kind": "Event"} if code == 201 else status(code, "no"), status=code)

    observer = Watcher()
    async with ApiServer(story, tls.server) as server:
        client = api(tmp_path, server.url, tls)
        journal = ApiPodJournal(client, US, observer, lambda: 1_800_000_000.0)  # type: ignore[arg-type]
        await journal.post("Activated", "x" * 5000, warning=False)
        with pytest.raises(LedgerOutage) as caught:
            await journal.post("LicenseLost", "gone", warning=True)
        await client.aclose()
    assert caught.value.lasting
    first, second = (it.body for it in server.asked)
    assert {it.path for it in server.asked} == {"/api/v1/namespaces/icap/events"}
    assert first["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "icap",
        "name": "icap-0",
        "uid": "uid-us",
    }
    assert (first["type"], second["type"]) == ("Normal", "Warning")
    assert (first["reason"], second["reason"]) == ("Activated", "LicenseLost")
    assert len(first["message"]) == 1024
    assert first["firstTimestamp"] == first["lastTimestamp"] == "2027-01-15T08:00:00Z"
    assert first["metadata"]["generateName"].startswith("icap-0.")
    assert observer.requests == [("event", "ok"), ("event", "retryable")]
