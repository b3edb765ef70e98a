"""What the chart's hooks ask of an API server, and what each answer means; tests/cluster asks a real one."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sidecar.adapters.kubernetes_api import KubernetesApi
from sidecar.adapters.named_pods import ApiNamedPods
from sidecar.adapters.secret_store import ApiSecretStore
from sidecar.adapters.workload import ApiWorkload
from sidecar.core.records import Owner, Standing
from sidecar.errors import LedgerOutage, Refused
from sidecar.hook_ports import Extent, Remaining, SecretChanged, SecretContent, StoredSecret
from sidecar.secrets import MASKER, Secret
from tests.unit.adapters.api_server import ApiServer, api, items, status
from tests.unit.adapters.raw_server import Tls

VALUE = "Rather-Secret.Value-4711"
SECRET = "/api/v1/namespaces/icap/secrets/cred"
SCALE = "/apis/apps/v1/namespaces/icap/deployments/md-icapsrv/scale"
US = Owner(pod="icap-import", uid="uid-us", namespace="icap")
Answers = dict[tuple[str, str], tuple[int, dict[str, Any]]]


@asynccontextmanager
async def asked(answers: Answers, tls: Tls, folder: Path) -> AsyncIterator[tuple[KubernetesApi, ApiServer]]:
    """Serve these answers by method and path; what is not among them does not exist."""

    async def story(request: web.Request) -> web.StreamResponse:
        code, body = answers.get((request.method, request.path), (404, status(404, "not found")))
        return web.json_response(body, status=code, headers={"Date": "Fri, 15 Jan 2027 08:00:00 GMT"})

    async with ApiServer(story, tls.server) as server:
        client = api(folder, server.url, tls)
        yield client, server
        await client.aclose()


def content(text: str = VALUE) -> SecretContent:
    """Return a content with one value."""
    return SecretContent(data={"password": text.encode()}, labels={"l": "1"}, annotations={"n": "1"})


def stored(name: str = "cred") -> StoredSecret:
    """Return a Secret as it was read."""
    origin = {"metadata": {"name": name, "uid": "u", "resourceVersion": "7", "finalizers": ["f"]}, "type": "odd"}
    return StoredSecret(name=name, data={}, labels={}, annotations={}, origin=origin)


# --- Secrets ----------------------------------------------------------------------------------------------------------


async def test_a_secret_is_written_over_the_version_that_was_read(tls: Tls, tmp_path: Path) -> None:
    """With what is not ours in it, and with nothing of what was ours before."""
    async with asked({("PUT", SECRET): (200, {"kind": "Secret"})}, tls, tmp_path) as (client, server):
        await ApiSecretStore(client, "icap").replace(stored(), content())
    (request,) = server.asked
    meta = request.body["metadata"]
    assert (meta["uid"], meta["resourceVersion"], meta["finalizers"]) == ("u", "7", ["f"])
    assert (meta["labels"], meta["annotations"], request.body["type"]) == ({"l": "1"}, {"n": "1"}, "odd")
    assert request.body["data"] == {"password": base64.b64encode(VALUE.encode()).decode()}


CALLS: dict[str, Callable[[ApiSecretStore], Awaitable[object]]] = {
    "GET": lambda store: store.read("cred"),
    "POST": lambda store: store.create("cred", content()),
    "PUT": lambda store: store.replace(stored(), content()),
}


@pytest.mark.parametrize(
    ("method", "code", "meant"),
    [
        ("GET", 403, LedgerOutage),
        ("GET", 401, LedgerOutage),
        ("GET", 500, LedgerOutage),
        ("POST", 403, LedgerOutage),
        ("POST", 404, Refused),
        ("POST", 409, SecretChanged),
        ("POST", 422, Refused),
        ("POST", 429, LedgerOutage),
        ("PUT", 403, LedgerOutage),
        ("PUT", 404, SecretChanged),
        ("PUT", 409, SecretChanged),
        ("PUT", 422, Refused),
        ("PUT", 503, LedgerOutage),
    ],
)
async def test_what_an_answer_about_a_secret_means(
    method: str, code: int, meant: type[Exception], tls: Tls, tmp_path: Path
) -> None:
    """A conflict is looked at again, what is not taken is refused, all else is tried again; 403 lasts."""
    path = SECRET if method != "POST" else SECRET.removesuffix("/cred")
    async with asked({(method, path): (code, status(code, "because"))}, tls, tmp_path) as (client, _):
        with pytest.raises(meant) as told:
            await CALLS[method](ApiSecretStore(client, "icap"))
    assert type(told.value) is meant
    assert not isinstance(told.value, LedgerOutage) or told.value.lasting is (code == 403)


async def test_no_value_is_in_what_the_api_server_repeats(tls: Tls, tmp_path: Path) -> None:
    """Neither the value nor its base64, in which a Secret's body has it."""
    MASKER.register(Secret(VALUE))
    encoded = base64.b64encode(VALUE.encode()).decode()
    said = status(422, f"cannot use {encoded} which is {VALUE}")
    async with asked({("PUT", SECRET): (422, said)}, tls, tmp_path) as (client, _):
        with pytest.raises(Refused) as told:
            await ApiSecretStore(client, "icap").replace(stored(), content())
    assert "cannot use *** which is ***" in str(told.value)


@pytest.mark.parametrize("data", [{"password": "no base64!"}, {"password": 7}])
async def test_a_value_that_is_no_base64_is_told_without_it(data: dict[str, Any], tls: Tls, tmp_path: Path) -> None:
    """By name and field."""
    answer = {"kind": "Secret", "metadata": {}, "data": data}
    async with asked({("GET", SECRET): (200, answer)}, tls, tmp_path) as (client, _):
        with pytest.raises(LedgerOutage, match="a Secret cred whose field password is no base64") as told:
            await ApiSecretStore(client, "icap").read("cred")
    assert told.value.__context__ is None


async def test_what_a_secret_leaves_out_is_empty(tls: Tls, tmp_path: Path) -> None:
    """Values that are null as well."""
    answer = {"kind": "Secret", "metadata": {"labels": None}, "data": {"password": None}}
    async with asked({("GET", SECRET): (200, answer)}, tls, tmp_path) as (client, _):
        found = await ApiSecretStore(client, "icap").read("cred")
    assert found is not None
    assert (found.data, found.labels, found.annotations) == ({"password": b""}, {}, {})


# --- the workload -----------------------------------------------------------------------------------------------------


async def test_only_the_scale_of_a_workload_is_asked_for(tls: Tls, tmp_path: Path) -> None:
    """GET and PATCH of the subresource; replicas that are 0 may be left out by the server."""
    scale = {"kind": "Scale", "spec": {"replicas": 3}, "status": {"replicas": 3, "selector": "app=md-icapsrv"}}
    answers: Answers = {("GET", SCALE): (200, scale), ("PATCH", SCALE): (200, {"kind": "Scale", "spec": {}})}
    async with asked(answers, tls, tmp_path) as (client, server):
        workload = ApiWorkload(client, "icap", "deployment", "md-icapsrv")
        assert await workload.extent() == Extent(3, "app=md-icapsrv")
        assert await workload.scale_to_zero() == Extent(0, "")
    assert [(it.method, it.path) for it in server.asked] == [("GET", SCALE), ("PATCH", SCALE)]
    assert server.asked[1].body == {"spec": {"replicas": 0}}


async def test_a_workload_that_is_not_there_is_none_and_one_that_is_hidden_an_outage(tls: Tls, tmp_path: Path) -> None:
    """404 is an answer, 403 is none."""
    path = SCALE.replace("deployments", "statefulsets")
    forbidden: Answers = {(method, path): (403, status(403, "no")) for method in ("GET", "PATCH")}
    async with asked(forbidden, tls, tmp_path) as (client, _):
        gone, hidden = (ApiWorkload(client, "icap", kind, "md-icapsrv") for kind in ("deployment", "statefulset"))
        assert (await gone.extent(), await gone.scale_to_zero()) == (None, None)
        for call in (hidden.extent, hidden.scale_to_zero):
            with pytest.raises(LedgerOutage) as told:
                await call()
            assert told.value.lasting


async def test_pods_are_counted_without_those_that_have_ended(tls: Tls, tmp_path: Path) -> None:
    """An evicted pod stays with its Deployment for ever; the server leaves it out, and sends metadata only."""
    pods = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b", "deletionTimestamp": "2027-01-15T08:00:00Z"}}, {}]
    answers: Answers = {("GET", "/api/v1/namespaces/icap/pods"): (200, items(*pods))}
    async with asked(answers, tls, tmp_path) as (client, server):
        workload = ApiWorkload(client, "icap", "deployment", "md-icapsrv")
        assert await workload.remaining("app=md-icapsrv") == Remaining(3, 1)
    (request,) = server.asked
    assert request.query["labelSelector"] == "app=md-icapsrv"
    assert request.query["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"
    assert "PartialObjectMetadataList" in request.headers["Accept"]


# --- pods by name -----------------------------------------------------------------------------------------------------


def pod(name: str, uid: str = "uid", phase: str = "Running") -> tuple[tuple[str, str], tuple[int, dict[str, Any]]]:
    """Return the answer about a pod that is there."""
    shown = {"kind": "Pod", "metadata": {"name": name, "uid": uid}, "status": {"phase": phase}}
    return ("GET", f"/api/v1/namespaces/icap/pods/{name}"), (200, shown)


async def test_pods_are_looked_at_by_name_after_our_own_was_seen(tls: Tls, tmp_path: Path) -> None:
    """Once is enough; what cannot be a pod's name is not asked for."""
    answers: Answers = dict([pod("icap-import", "uid-us"), pod("runs"), pod("ended", phase="Succeeded")])
    answers[("GET", "/api/v1/namespaces/icap/pods/hidden")] = (403, status(403, "no"))
    async with asked(answers, tls, tmp_path) as (client, server):
        pods = ApiNamedPods(client, US)
        found = [await pods.look(name) for name in ("runs", "ended", "never", "hidden", "No Name", "..", "")]
    assert [it.standing if it else None for it in found] == [
        Standing.LIVE,
        Standing.GONE,
        Standing.GONE,
        Standing.UNPROVEN,
        None,
        None,
        None,
    ]
    names = [it.path.rpartition("/")[2] for it in server.asked]
    assert names == ["icap-import", "runs", "ended", "never", "hidden"]


@pytest.mark.parametrize("own", [None, pod("icap-import", "uid-of-another")])
async def test_nobodys_absence_means_anything_where_we_are_not_seen(own: Any, tls: Tls, tmp_path: Path) -> None:
    """Our pod does not exist there, or another one has its name."""
    async with asked(dict([own] if own else []), tls, tmp_path) as (client, _):
        pods = ApiNamedPods(client, US)
        for _ in range(2):
            sight = await pods.look("never")
            assert sight is not None
            assert sight.standing is Standing.UNPROVEN


async def test_an_outage_while_looking_at_a_pod_is_one(tls: Tls, tmp_path: Path) -> None:
    """Neither gone nor hidden."""
    answers: Answers = dict([pod("icap-import", "uid-us")])
    answers[("GET", "/api/v1/namespaces/icap/pods/runs")] = (500, status(500, "oops"))
    async with asked(answers, tls, tmp_path) as (client, _):
        with pytest.raises(LedgerOutage):
            await ApiNamedPods(client, US).look("runs")
