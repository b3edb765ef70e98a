"""What the objects of pods say: our own and those of others, as tables, with every field missing that can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.pods import ApiOwners, OwnApiPod, grace_left, report, standing
from sidecar.core.facts import AppContainer, PodReport
from sidecar.core.reasons import AppEnd
from sidecar.core.records import Owner, Standing
from sidecar.errors import LedgerOutage
from tests.unit.adapters.api_server import ApiServer, Watcher, api, items, status
from tests.unit.adapters.raw_server import Tls

APP = "md-icapsrv"
NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z by the API server's clock."""
US = Owner(pod="icap-0", uid="uid-us", namespace="icap")


def pod(name: str = "icap-0", uid: str = "uid-us", **parts: Any) -> dict[str, Any]:
    """Return a running pod; ``parts``: metadata, status or the app's container status, changed."""
    app = {
        "name": APP,
        "state": {"running": {"startedAt": "2027-01-15T07:00:00Z"}},
        "lastState": {},
        "restartCount": 0,
        "containerID": "containerd://one",
        **parts.get("app", {}),
    }
    shown = {"phase": "Running", "containerStatuses": [{"name": "other"}, app], **parts.get("status", {})}
    meta = {"name": name, "uid": uid, "namespace": "icap", **parts.get("meta", {})}
    return {"kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": APP}]}, "status": shown}


DIED = {"terminated": {"exitCode": 1, "reason": "Error"}}
KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
LOOP = {"waiting": {"reason": "CrashLoopBackOff"}}
CREATING = {"waiting": {"reason": "ContainerCreating"}}
RUNNING: dict[str, Any] = {"running": {}}


@pytest.mark.parametrize(
    ("state", "last", "restarts", "ended"),
    [
        (RUNNING, {}, 0, None),
        (RUNNING, DIED, 3, None),
        (RUNNING, KILLED, 1, None),
        (CREATING, {}, 0, None),
        ({"waiting": {"reason": "ImagePullBackOff"}}, {}, 0, None),
        ({}, {}, 0, None),
        (DIED, {}, 0, AppEnd.EXIT),
        (DONE, {}, 0, AppEnd.EXIT),
        (KILLED, {}, 0, AppEnd.OOM),
        (DIED, KILLED, 1, AppEnd.EXIT),
        (KILLED, DIED, 1, AppEnd.OOM),
        ({"terminated": {}}, KILLED, 1, AppEnd.EXIT),
        (LOOP, DIED, 4, AppEnd.CRASH_LOOP),
        (LOOP, KILLED, 4, AppEnd.OOM),
        (CREATING, DIED, 1, AppEnd.EXIT),
        ({"waiting": {"reason": "CreateContainerError"}}, {}, 2, AppEnd.EXIT),
        ({}, DIED, 1, AppEnd.EXIT),
        ({"waiting": {}}, {"terminated": {}}, 0, AppEnd.EXIT),
    ],
)
def test_how_the_apps_container_is(
    state: dict[str, Any], last: dict[str, Any], restarts: int, ended: AppEnd | None
) -> None:
    """States coalesce, so no field is read alone: one that waits after an end has ended, one that never ran has not."""
    shown = pod(app={"state": state, "lastState": last, "restartCount": restarts})
    assert report(shown, APP, NOW).app == AppContainer("containerd://one", restarts, ended)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, {}),
        ({"meta": {"deletionTimestamp": "2027-01-15T08:00:30Z"}}, {"deleting": True, "grace_left": 30.0}),
        ({"meta": {"deletionTimestamp": "2027-01-15T07:59:00Z"}}, {"deleting": True, "grace_left": -60.0}),
        ({"status": {"phase": "Failed"}}, {"ended": True}),
        ({"status": {"phase": "Succeeded"}}, {"ended": True}),
        ({"status": {"phase": "Unknown"}}, {}),
        ({"status": {"phase": "Pending"}}, {}),
        ({"status": {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}}, {"ended": True}),
        ({"status": {"conditions": [{"type": "DisruptionTarget", "status": "False"}]}}, {}),
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}, "odd"]}}, {}),
        ({"status": {"containerStatuses": []}}, {"app": None}),
        ({"status": {"containerStatuses": None}}, {"app": None}),
        ({"app": {"restartCount": "many", "containerID": None}}, {"app": AppContainer("", 0, None)}),
        ({"app": {"state": None, "lastState": "odd"}}, {}),
        ({"meta": {"uid": None}}, {"uid": ""}),
    ],
)
def test_what_our_pod_says(parts: dict[str, Any], expected: dict[str, Any]) -> None:
    """Deletion, ends, and what the status does not show."""
    usual = PodReport("uid-us", app=AppContainer("containerd://one"))
    assert report(pod(**parts), APP, NOW) == replace(usual, **expected)


def test_a_container_that_the_pod_has_not_is_a_wrong_setting() -> None:
    """Said with the names that there are."""
    assert report(pod(), "nginx", NOW).fault == "app.container is nginx, but the pod's containers are md-icapsrv"
    assert report({"kind": "Pod"}, "nginx", NOW).fault == "", "what is not shown is no fault"


def test_without_the_servers_clock_nothing_is_overdue() -> None:
    """Our own clock may be hours off."""
    leaving = pod(meta={"deletionTimestamp": "2027-01-15T07:00:00Z"})
    assert grace_left(leaving, None) is None
    assert standing(leaving, None).standing is Standing.LIVE
    for odd in ("soon", 7, "0001-01-01T00:00:00"):
        assert standing(pod(meta={"deletionTimestamp": odd}), None).standing is Standing.LIVE
    assert report(pod(meta={"deletionTimestamp": "2027-01-15T07:00:00Z"}), APP, None).deleting


@pytest.mark.parametrize(
    ("parts", "expected", "leaving"),
    [
        ({}, Standing.LIVE, False),
        ({"status": {"phase": "Pending"}}, Standing.LIVE, False),
        ({"status": {"phase": "Unknown"}}, Standing.LIVE, False),
        ({"status": {"phase": "Failed"}}, Standing.GONE, False),
        ({"status": {"phase": "Succeeded"}}, Standing.GONE, False),
        ({"meta": {"deletionTimestamp": "2027-01-15T08:00:30Z"}}, Standing.LIVE, True),
        ({"meta": {"deletionTimestamp": "2027-01-15T07:59:31Z"}}, Standing.LIVE, True),
        ({"meta": {"deletionTimestamp": "2027-01-15T07:59:29Z"}}, Standing.GONE, False),
        ({"status": {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}}, Standing.LIVE, True),
    ],
)
def test_how_the_owner_of_a_record_stands(parts: dict[str, Any], expected: Standing, leaving: bool) -> None:
    """Rule 10: gone is what has ended, or is overdue in its deletion by more than a margin; leaving is not gone."""
    sight = standing(pod(**parts), NOW)
    assert (sight.standing, sight.leaving) == (expected, leaving)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["uid", "deletionTimestamp", "phase", "conditions", "containerStatuses", "containers"]


@settings(deadline=None, max_examples=60)
@given(
    shown=st.fixed_dictionaries(
        {},
        optional={
            name: anything | st.dictionaries(st.sampled_from(FIELDS), anything)
            for name in ("metadata", "spec", "status")
        },
    )
)
def test_an_object_of_any_shape_is_read(shown: dict[str, Any]) -> None:
    """Nothing that an API server could send ends the process, and nothing odd is an end."""
    report(shown, APP, NOW)
    standing(shown, NOW)


# --- asked of a server ------------------------------------------------------------------------------------------------


class Cluster:
    """Pods by name, told as an API server does: single, as metadata, and by phase; ``refuse`` answers by namespace."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods = {it["metadata"]["name"]: it for it in pods}
        self.refuse: dict[str, int] = {}
        self.wrong: str = ""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        headers = {"Date": "Fri, 15 Jan 2027 08:00:00 GMT"}
        _, _, _, _, namespace, _, *rest = request.path.split("/")
        if namespace in self.refuse:
            code = self.refuse[namespace]
            return web.json_response(status(code, "no"), status=code, headers=headers)
        if rest:
            found = self.pods.get(rest[0]) if namespace == "icap" else None
            return web.json_response(found or status(404, "none"), status=200 if found else 404, headers=headers)
        shown = list(self.pods.values())
        if "fieldSelector" in request.query:
            shown = [it for it in shown if it["status"].get("phase") not in ("Pending", "Running", "Unknown")]
        assert "PartialObjectMetadataList" in request.headers["Accept"]
        return web.json_response(items(*({"metadata": it["metadata"]} for it in shown)), headers=headers)


@asynccontextmanager
async def owners(cluster: Cluster, tls: Tls, folder: Path) -> AsyncIterator[tuple[ApiOwners, ApiServer]]:
    """Look at the owners of records in this cluster."""
    async with ApiServer(cluster, tls.server) as server:
        client = api(folder, server.url, tls)
        yield ApiOwners(client, US, Watcher()), server  # type: ignore[arg-type]
        await client.aclose()


def owner(number: int) -> Owner:
    """Return the owner of a record."""
    return Owner(pod=f"icap-{number}", uid=f"uid-{number}", namespace="icap")


async def test_an_owner_is_gone_only_by_a_404_or_another_uid(tls: Tls, tmp_path: Path) -> None:
    """From a GET without a resourceVersion, in the record's own namespace."""
    cluster = Cluster(pod(), pod("icap-1", "uid-1"), pod("icap-2", "uid-of-the-next"))
    async with owners(cluster, tls, tmp_path) as (it, server):
        assert (await it.look(owner(1))).standing is Standing.LIVE
        replaced, missing = await it.look(owner(2)), await it.look(owner(3))
        elsewhere = await it.look(replace(owner(1), namespace="other"))
    assert (replaced.standing, missing.standing) == (Standing.GONE, Standing.GONE)
    assert "another of the same name" in replaced.why
    assert elsewhere.standing is Standing.GONE
    assert all(asked.query == {} for asked in server.asked)
    assert server.asked[-1].path == "/api/v1/namespaces/other/pods/icap-1"


async def test_what_must_not_be_looked_at_is_not_gone(tls: Tls, tmp_path: Path) -> None:
    """403 in another namespace: unproven, and not asked again and again."""
    cluster = Cluster(pod())
    cluster.refuse["other"] = 403
    async with owners(cluster, tls, tmp_path) as (it, server):
        for _ in range(3):
            sight = await it.look(replace(owner(1), namespace="other"))
            assert sight.standing is Standing.UNPROVEN
            assert "may not look" in sight.why
        assert await it.glance([replace(owner(number), namespace="other") for number in range(20)]) == {}
        assert (await it.look(owner(3))).standing is Standing.GONE, "one namespace says nothing about another"
    assert len(server.asked) == 2


@pytest.mark.parametrize("nobody", [Owner("", "uid"), Owner("pod", "", "icap"), Owner("pod", "uid", "")])
async def test_a_record_that_names_no_pod_proves_nothing(nobody: Owner, tls: Tls, tmp_path: Path) -> None:
    """A forged one, or one of a folder."""
    async with owners(Cluster(), tls, tmp_path) as (it, server):
        assert (await it.look(nobody)).standing is Standing.UNPROVEN
        assert server.asked == []


NO_NAMES = ["..", ".", "a/b", "a%", "%2e%2e", "a b", "é", "A", "x?y", "x#y", "web-0/", "x\ny", "a..b", "-a", "x" * 254]


async def test_what_no_pod_can_be_called_is_not_asked_for(tls: Tls, tmp_path: Path) -> None:
    """Such a path would be another object's, or an error for the whole scan; dots and digits are fine."""
    async with owners(Cluster(pod()), tls, tmp_path) as (it, server):
        for name in (*NO_NAMES, "x" * 4000):
            assert (await it.look(Owner(name, "uid", "icap"))).standing is Standing.UNPROVEN
            assert (await it.look(Owner("web-0", "uid", name))).standing is Standing.UNPROVEN
        for no_label in ("a.b", "x" * 64):
            assert (await it.look(Owner("web-0", "uid", no_label))).standing is Standing.UNPROVEN
        assert await it.glance([replace(owner(number), namespace="..") for number in range(20)]) == {}
        assert server.asked == []
        for name in ("a", "0.a-b.c", "x" * 253):
            assert (await it.look(Owner(name, "uid", "icap"))).standing is Standing.GONE


@pytest.mark.parametrize("code", [400, 422])
async def test_an_owner_whom_the_server_finds_invalid_is_unproven_alone(code: int, tls: Tls, tmp_path: Path) -> None:
    """What somebody wrote into one record must not keep the others from being looked at."""
    cluster = Cluster(pod())
    cluster.refuse["other"] = code
    async with owners(cluster, tls, tmp_path) as (it, _):
        sight = await it.look(replace(owner(1), namespace="other"))
        assert (sight.standing, str(code) in sight.why) == (Standing.UNPROVEN, True)
        assert await it.glance([replace(owner(number), namespace="other") for number in range(20)]) == {}
        assert (await it.look(owner(3))).standing is Standing.GONE


NO_PODS = [
    {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500},
    {"kind": "Pod", "metadata": None},
    {"kind": "Pod", "metadata": {"name": "icap-1"}},
    {"kind": "Secret", "metadata": {"name": "icap-1", "uid": "uid-of-another"}},
]


@pytest.mark.parametrize("odd", NO_PODS)
async def test_an_answer_that_shows_no_pod_is_no_absence(odd: dict[str, Any], tls: Tls, tmp_path: Path) -> None:
    """With 200: neither somebody else's end, nor our own."""
    cluster = Cluster(pod())
    cluster.pods |= {"icap-0": odd, "icap-1": odd}
    async with owners(cluster, tls, tmp_path) as (it, _):
        with pytest.raises(LedgerOutage, match="no pod"):
            await it.look(owner(1))
        with pytest.raises(LedgerOutage, match="no pod"):
            await it.sees_itself()
    story = OwnPodStory(odd)
    async with own(story, tls, tmp_path) as (mine, _):
        with pytest.raises(LedgerOutage, match="no pod"):
            await mine.look()
        async with aclosing(mine.follow()) as reports, asyncio.timeout(10):
            assert isinstance(await anext(reports), LedgerOutage)


async def test_an_event_that_shows_no_pod_changes_nothing(tls: Tls, tmp_path: Path) -> None:
    """It is told as an outage; what was known stays, and the watch goes on."""
    odd = {"kind": "Pod", "metadata": {"name": "icap-0"}}
    story = OwnPodStory(pod(), ("MODIFIED", odd), ("MODIFIED", pod(app={"state": DIED})))
    async with own(story, tls, tmp_path) as (it, _), aclosing(it.follow()) as reports, asyncio.timeout(10):
        first, _, outage, ended = [await anext(reports) for _ in range(4)]
    assert isinstance(outage, LedgerOutage)
    assert isinstance(first, PodReport)
    assert isinstance(ended, PodReport)
    assert (first.uid, ended.uid) == ("uid-us", "uid-us")


@pytest.mark.parametrize("code", [401, 429, 500])
async def test_an_outage_is_no_sight(code: int, tls: Tls, tmp_path: Path) -> None:
    """Neither of one, nor of many, nor of ourselves."""
    cluster = Cluster(pod())
    cluster.refuse["icap"] = code
    async with owners(cluster, tls, tmp_path) as (it, _):
        with pytest.raises(LedgerOutage):
            await it.look(owner(1))
        with pytest.raises(LedgerOutage):
            await it.glance([owner(number) for number in range(20)])
        with pytest.raises(LedgerOutage):
            await it.sees_itself()


async def test_we_must_see_ourselves(tls: Tls, tmp_path: Path) -> None:
    """Our own pod, with our own uid: or nobody's absence means anything."""
    cluster = Cluster(pod())
    async with owners(cluster, tls, tmp_path) as (it, _):
        assert await it.sees_itself()
        cluster.pods["icap-0"]["metadata"]["uid"] = "uid-of-the-next"
        assert not await it.sees_itself()
        del cluster.pods["icap-0"]
        assert not await it.sees_itself()
        nameless = ApiOwners(it._api, replace(US, uid=""), Watcher())  # type: ignore[arg-type]
        cluster.pods["icap-0"] = pod()
        assert not await nameless.sees_itself()


async def test_a_glance_and_a_look_agree(tls: Tls, tmp_path: Path) -> None:
    """A glance says who certainly lives; about all others it is silent, and a look decides."""
    leaving = {"deletionTimestamp": "2027-01-15T08:00:30Z"}
    overdue = {"deletionTimestamp": "2027-01-15T07:00:00Z"}
    table: dict[int, dict[str, Any]] = {
        1: {},
        2: {"status": {"phase": "Pending"}},
        3: {"status": {"phase": "Failed"}},
        4: {"status": {"phase": "Succeeded"}},
        5: {"meta": leaving},
        6: {"meta": overdue},
        7: {"meta": {"uid": "uid-of-the-next"}},
        8: {"status": {"phase": "Unknown"}},
    }
    made = [pod(f"icap-{number}", f"uid-{number}", **parts) for number, parts in table.items()]
    everybody = [owner(number) for number in (*table, 9)]
    async with owners(Cluster(pod(), *made), tls, tmp_path) as (it, server):
        glanced = await it.glance(everybody)
        asked = len(server.asked)
        assert asked == 2, "two lists, whatever the number of owners"
        assert await it.glance(everybody) == glanced
        assert len(server.asked) == asked, "fresh for a moment"
        looked = {each.uid: await it.look(each) for each in everybody}
    assert {uid for uid, sight in looked.items() if sight.standing is Standing.LIVE} == set(glanced)
    for uid, sight in glanced.items():
        assert (sight.standing, sight.leaving) == (looked[uid].standing, looked[uid].leaving)
    assert set(glanced) == {"uid-1", "uid-2", "uid-5", "uid-8"}


async def test_few_owners_are_looked_at_one_by_one(tls: Tls, tmp_path: Path) -> None:
    """A list of all pods of a namespace would be more."""
    async with owners(Cluster(pod()), tls, tmp_path) as (it, server):
        assert await it.glance([owner(number) for number in range(5)]) == {}
        assert await it.glance([]) == {}
        assert server.asked == []


async def test_a_glance_that_is_forbidden_is_none(tls: Tls, tmp_path: Path) -> None:
    """Single looks say the same. Elsewhere it is not asked again for a while; our own namespace is."""
    cluster = Cluster(pod())
    cluster.refuse |= {"icap": 403, "other": 403}
    async with owners(cluster, tls, tmp_path) as (it, server):
        for namespace, times in (("other", 1), ("icap", 3)):
            server.asked.clear()
            for _ in range(3):
                assert await it.glance([replace(owner(number), namespace=namespace) for number in range(20)]) == {}
            assert len(server.asked) == times


# --- our own pod ------------------------------------------------------------------------------------------------------


class OwnPodStory:
    """Tells of one pod: how it is, and what a watch sends."""

    def __init__(self, shown: dict[str, Any] | None, *events: tuple[str, dict[str, Any]]) -> None:
        self.shown, self.events = shown, events
        self.refuse = 0
        self.watches = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        headers = {"Date": "Fri, 15 Jan 2027 08:00:00 GMT"}
        if self.refuse:
            return web.json_response(status(self.refuse, "no"), status=self.refuse)
        if request.query.get("watch") == "1":
            return await self._watch(request)
        if "fieldSelector" in request.query:
            assert request.query["fieldSelector"] == "metadata.name=icap-0"
            return web.json_response(items(*([self.shown] if self.shown else [])), headers=headers)
        code = 200 if self.shown else 404
        return web.json_response(self.shown or status(404, "none"), status=code, headers=headers)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self.watches += 1
        for kind, shown in self.events if self.watches == 1 else ():
            self.shown = None if kind == "DELETED" else shown
            await response.write(web.json_response({"type": kind, "object": shown}).body + b"\n")  # type: ignore[operator]
            await asyncio.sleep(0.05)
        if self.watches > 1:
            await asyncio.sleep(60)
        return response


@asynccontextmanager
async def own(story: OwnPodStory, tls: Tls, folder: Path) -> AsyncIterator[tuple[OwnApiPod, ApiServer]]:
    """Look at our own pod as this story tells it."""
    async with ApiServer(story, tls.server) as server:
        client = api(folder, server.url, tls)
        yield OwnApiPod(client, US, APP, random=Random(1), observer=Watcher()), server  # type: ignore[arg-type]
        await client.aclose()


async def test_a_look_at_our_pod(tls: Tls, tmp_path: Path) -> None:
    """As it is now; one that does not exist is told as such, and no answer is an outage."""
    story = OwnPodStory(pod(meta={"deletionTimestamp": "2027-01-15T08:00:30Z"}))
    async with own(story, tls, tmp_path) as (it, _):
        assert await it.look() == PodReport(
            "uid-us", deleting=True, grace_left=30.0, app=AppContainer("containerd://one")
        )
        story.shown = None
        assert await it.look() == PodReport("")
        story.refuse = 403
        with pytest.raises(LedgerOutage) as caught:
            await it.look()
        assert caught.value.lasting


async def test_our_pod_is_followed_to_its_end(tls: Tls, tmp_path: Path) -> None:
    """Each change; what is left of the grace period by the server's clock, once; and that it is gone."""
    leaving = pod(meta={"deletionTimestamp": "2027-01-15T08:00:30Z"})
    crashed = pod(app={"state": DIED})
    story = OwnPodStory(pod(), ("MODIFIED", crashed), ("MODIFIED", leaving), ("DELETED", leaving))
    async with own(story, tls, tmp_path) as (it, _), aclosing(it.follow()) as reports, asyncio.timeout(10):
        seen = [await anext(reports) for _ in range(6)]
    running = PodReport("uid-us", app=AppContainer("containerd://one"))
    ended = replace(running, app=AppContainer("containerd://one", 0, AppEnd.EXIT))
    assert seen[:4] == [running, running, ended, replace(running, deleting=True, grace_left=30.0)]
    assert seen[4:] == [PodReport(""), PodReport("")]


async def test_a_grace_period_is_told_once(tls: Tls, tmp_path: Path) -> None:
    """A watch that is renewed repeats how the pod was: what was left then is not left now."""
    story = OwnPodStory(pod(meta={"deletionTimestamp": "2027-01-15T08:10:00Z"}))
    async with own(story, tls, tmp_path) as (it, _), aclosing(it.follow()) as reports, asyncio.timeout(10):
        first, second, third = [await anext(reports) for _ in range(3)]
    assert isinstance(first, PodReport)
    assert first.grace_left == 600.0
    for again in (second, third):
        assert again == replace(first, grace_left=None)


async def test_a_pod_that_cannot_be_seen_is_told_and_seen_again(tls: Tls, tmp_path: Path) -> None:
    """Why, and then how it is."""
    story = OwnPodStory(pod())
    story.refuse = 403
    async with own(story, tls, tmp_path) as (it, _), aclosing(it.follow()) as reports, asyncio.timeout(10):
        outage = await anext(reports)
        story.refuse = 0
        seen = await anext(reports)
    assert isinstance(outage, LedgerOutage)
    assert outage.lasting
    assert isinstance(seen, PodReport)
    assert seen.uid == "uid-us"


async def test_a_clock_that_cannot_be_asked_is_none(tls: Tls, tmp_path: Path) -> None:
    """That the pod is being deleted is known all the same."""
    leaving = pod(meta={"deletionTimestamp": "2027-01-15T08:00:30Z"})

    class Forgetful(OwnPodStory):
        async def __call__(self, request: web.Request) -> web.StreamResponse:
            if request.query:
                return await super().__call__(request)
            return web.json_response(status(500), status=500)

    async with (
        own(Forgetful(pod(), ("MODIFIED", leaving)), tls, tmp_path) as (it, _),
        aclosing(it.follow()) as reports,
        asyncio.timeout(10),
    ):
        *_, seen = [await anext(reports) for _ in range(3)]
    assert isinstance(seen, PodReport)
    assert (seen.deleting, seen.grace_left) == (True, None)
