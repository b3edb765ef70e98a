"""LIST, then WATCH, for ever: what is seen, what is resumed, what begins anew, and that nothing storms the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from sidecar.adapters import kubernetes_watch as watches
from sidecar.adapters.kubernetes_api import ApiError, KubernetesApi, Trouble
from sidecar.adapters.kubernetes_watch import LASTING, Changes, Content
from tests.unit.adapters.api_server import ApiServer, Asked, Watcher, account, api, items, status
from tests.unit.adapters.raw_server import Tls

PODS = "/api/v1/namespaces/icap/pods"
Seen = Content | Changes | ApiError


def pod(name: str = "icap-0", version: str = "101") -> dict[str, Any]:
    """Return a pod as a list or a watch shows it."""
    return {"kind": "Pod", "metadata": {"name": name, "resourceVersion": version}}


def line(kind: str, shown: Any) -> bytes:
    """Return an event of a watch as it is sent."""
    return json.dumps({"type": kind, "object": shown}).encode() + b"\n"


class Story:
    """Lists as told, and plays one script for each watch, the last one again and again."""

    def __init__(self, *watched: Callable[[web.StreamResponse], Any], lists: list[Any] | None = None) -> None:
        self.watched = list(watched)
        self.lists = lists or [items(pod())]
        self.listed = self.opened = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.query.get("watch") != "1":
            told = self.lists[min(self.listed, len(self.lists) - 1)]
            self.listed += 1
            return web.json_response(told, status=told.get("code", 200))
        script = self.watched[min(self.opened, len(self.watched) - 1)]
        self.opened += 1
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        ended = await script(response) if isinstance(script, Refuse) else None
        if ended is not None:
            return ended
        await response.prepare(request)
        await script(response)
        return response


class Refuse:
    """A watch that is not opened at all."""

    def __init__(self, code: int, **headers: str) -> None:
        self.code, self.headers = code, headers

    async def __call__(self, _response: web.StreamResponse) -> web.StreamResponse:
        """Answer with the status."""
        return web.json_response(status(self.code, "no"), status=self.code, headers=self.headers)


def sends(*parts: bytes, stays: bool = True) -> Callable[[web.StreamResponse], Any]:
    """Return a watch that sends these bytes and then stays open, or closes."""

    async def script(response: web.StreamResponse) -> None:
        for part in parts:
            await response.write(part)
            await asyncio.sleep(0.01)
        if stays:
            await asyncio.sleep(60)

    return script


async def breaks(response: web.StreamResponse) -> None:
    """Tell one event and let the connection break in the middle of the next."""
    await response.write(line("MODIFIED", pod(version="105")) + b'{"type": "MODI')
    await asyncio.sleep(0.05)
    request = response._req
    assert request is not None
    assert request.transport is not None
    request.transport.abort()


@asynccontextmanager
async def following(
    story: Story, tls: Tls, folder: Path, query: dict[str, str] | None = None
) -> AsyncIterator[tuple[AsyncIterator[Seen], ApiServer, Watcher]]:
    """Follow the pods of a server that tells this story."""
    observer = Watcher()
    async with ApiServer(story, tls.server) as server:
        client = api(folder, server.url, tls)
        seen = watches.follow(client, PODS, query or {}, random=Random(1), observer=observer)  # type: ignore[arg-type]
        async with aclosing(seen):
            yield seen, server, observer
        await client.aclose()


async def take(seen: AsyncIterator[Seen], count: int, limit: float = 10.0) -> list[Seen]:
    """Return the next so many things seen."""
    async with asyncio.timeout(limit):
        return [await anext(seen) for _ in range(count)]


def watched(server: ApiServer) -> list[Asked]:
    """Return the watches that were asked for."""
    return [it for it in server.asked if "watch" in it.query]


async def test_the_content_then_its_changes(tls: Tls, tmp_path: Path) -> None:
    """First everything, then that the watch stands, then each change; the watch goes on from the list."""
    changed, gone = line("MODIFIED", pod(version="102")), line("DELETED", pod(version="103"))
    story = Story(sends(changed[:20], changed[20:], gone + line("ADDED", pod("icap-1", "104"))))
    async with following(story, tls, tmp_path, {"fieldSelector": "metadata.name=icap-0"}) as (seen, server, observer):
        content, standing, one, rest = await take(seen, 4)
    assert isinstance(content, Content)
    assert [it["metadata"]["name"] for it in content.objects] == ["icap-0"]
    assert content.date is not None
    assert standing == Changes()
    assert one == Changes((("MODIFIED", pod(version="102")),))
    assert isinstance(rest, Changes)
    assert [kind for kind, _ in rest.events] == ["DELETED", "ADDED"]
    (watch,) = watched(server)
    assert watch.query["resourceVersion"] == "100"
    assert watch.query["allowWatchBookmarks"] == "true"
    assert watch.query["fieldSelector"] == "metadata.name=icap-0"
    assert 0.75 * LASTING <= int(watch.query["timeoutSeconds"]) <= LASTING
    assert observer.ends == []
    assert observer.requests == [("watch", "ok")]


@pytest.mark.parametrize("last", [line("MODIFIED", pod(version="150")), line("BOOKMARK", pod(version="150"))])
async def test_a_watch_goes_on_from_what_it_was_told_last(last: bytes, tls: Tls, tmp_path: Path) -> None:
    """An event or a bookmark: without the latter, a quiet collection would be history at each renewal."""
    story = Story(sends(last, stays=False), sends())
    async with following(story, tls, tmp_path) as (seen, server, observer):
        _, _, told, again = await take(seen, 4)
        assert again == Changes()
    assert isinstance(told, Changes)
    assert bool(told.events) is (b"BOOKMARK" not in last)
    assert [it.query["resourceVersion"] for it in watched(server)] == ["100", "150"]
    assert story.listed == 1
    assert observer.ends == ["closed"]


async def test_a_connection_that_breaks_is_resumed_without_a_list(tls: Tls, tmp_path: Path) -> None:
    """It is told, and half an event is forgotten; what changed meanwhile comes with the next watch."""
    story = Story(breaks, sends(line("DELETED", pod(version="106"))))
    async with following(story, tls, tmp_path) as (seen, server, observer):
        _, _, one, trouble, standing, other = await take(seen, 6)
    assert isinstance(one, Changes)
    assert isinstance(trouble, ApiError)
    assert trouble.trouble is Trouble.NETWORK
    assert standing == Changes()
    assert other == Changes((("DELETED", pod(version="106")),))
    assert [it.query["resourceVersion"] for it in watched(server)] == ["100", "105"]
    assert story.listed == 1
    assert observer.ends == ["network"]


@pytest.mark.parametrize(
    "gone", [Refuse(410), sends(line("ERROR", status(410, "too old")), stays=False)], ids=["in HTTP", "in the stream"]
)
async def test_a_version_that_is_history_begins_anew(gone: Any, tls: Tls, tmp_path: Path) -> None:
    """410: never again with the same version, and nothing to worry anybody with."""
    lists = [items(pod()), items(pod(version="201"), version="200")]
    story = Story(gone, sends(), lists=lists)
    async with following(story, tls, tmp_path) as (seen, server, observer):
        seen_now = [it for it in await take(seen, 3 if isinstance(gone, Refuse) else 4) if it != Changes()]
    assert [type(it) for it in seen_now] == [Content, Content]
    assert watched(server)[0].query["resourceVersion"] == "100"
    assert observer.ends == ["gone"]
    assert story.listed == 2


@pytest.mark.parametrize(
    "script",
    [
        sends(b"<html>Sign in</html>\n", stays=False),
        sends(b"<html>Sign in</html>", stays=False),
        sends(line("MODIFIED", pod(version="150"))[:30], stays=False),
        sends(b'{"type": "MODIFIED"}\n', stays=False),
        sends(b'{"type": "MODIFIED", "object": {"metadata": 1}}\n', stays=False),
        sends(b"[]\n", stays=False),
        sends(b"[" * 100_000 + b"\n", stays=False),
        sends(line("ERROR", status(500, "etcd is away")), stays=False),
        sends(line("ERROR", "words"), stays=False),
        Refuse(403),
        Refuse(401),
    ],
)
async def test_what_makes_no_sense_begins_anew(script: Any, tls: Tls, tmp_path: Path) -> None:
    """Told, and nothing of it is believed: the list says what is."""
    story = Story(script, sends())
    async with following(story, tls, tmp_path) as (seen, _, observer):
        told = [it for it in await take(seen, 4) if it != Changes()]
    assert [type(it) for it in told] == [Content, ApiError, Content]
    assert observer.ends == ["protocol"]
    assert story.listed == 2


async def test_empty_lines_are_nothing(tls: Tls, tmp_path: Path) -> None:
    """Some proxies keep a connection alive with them."""
    story = Story(sends(b"\n\r\n\n", line("ADDED", pod("icap-1", "102"))))
    async with following(story, tls, tmp_path) as (seen, _, _):
        *_, told = await take(seen, 3)
    assert isinstance(told, Changes)
    assert len(told.events) == 1


async def test_a_line_without_an_end_is_not_kept(tls: Tls, tmp_path: Path) -> None:
    """Bounded in size."""
    story = Story(sends(*[b"x" * (1 << 20)] * 10))
    async with following(story, tls, tmp_path) as (seen, _, observer):
        _, _, trouble = await take(seen, 3)
    assert isinstance(trouble, ApiError)
    assert trouble.trouble is Trouble.PROTOCOL
    assert observer.ends == ["protocol"]


async def test_a_server_that_closes_at_once_is_not_stormed(tls: Tls, tmp_path: Path) -> None:
    """The library's own watch made thousands of requests here; ours doubles its pauses."""
    story = Story(sends(stays=False))
    async with following(story, tls, tmp_path) as (seen, server, observer):
        with pytest.raises(TimeoutError):
            await take(seen, 1000, limit=3.0)
    assert 3 <= len(server.asked) <= 8
    assert set(observer.ends) == {"closed"}


@pytest.mark.parametrize("refuse", [Refuse(500), Refuse(410)])
async def test_a_server_that_refuses_every_watch_is_not_stormed(refuse: Refuse, tls: Tls, tmp_path: Path) -> None:
    """Lists included."""
    story = Story(refuse)
    async with following(story, tls, tmp_path) as (seen, server, _):
        with pytest.raises(TimeoutError):
            await take(seen, 1000, limit=3.0)
    assert 4 <= len(server.asked) <= 14


async def test_a_servers_wish_is_respected(tls: Tls, tmp_path: Path) -> None:
    """429 with Retry-After: not sooner, and then from the same version."""
    story = Story(Refuse(429, **{"Retry-After": "1"}), sends())
    async with following(story, tls, tmp_path) as (seen, server, observer):
        _, trouble, standing = await take(seen, 3)
    assert isinstance(trouble, ApiError)
    assert trouble.trouble is Trouble.BUSY
    assert standing == Changes()
    first, second = watched(server)
    assert second.at - first.at >= 1.0
    assert story.listed == 1
    assert observer.ends == ["protocol"]


async def test_a_list_comes_page_by_page(tls: Tls, tmp_path: Path) -> None:
    """With ``continue``; the watch goes on from the version of the list."""
    pages = [items(pod("a"), more="m1"), items(pod("b"), more="m2"), items(pod("c"), version="100")]
    story = Story(sends(), lists=pages)
    async with following(story, tls, tmp_path) as (seen, server, _):
        content, _ = await take(seen, 2)
    assert isinstance(content, Content)
    assert [it["metadata"]["name"] for it in content.objects] == ["a", "b", "c"]
    lists = [it.query for it in server.asked if "watch" not in it.query]
    assert [it.get("continue") for it in lists] == [None, "m1", "m2"]
    assert all(it["limit"] == "500" for it in lists)


async def test_a_page_that_is_history_begins_the_list_anew(tls: Tls, tmp_path: Path) -> None:
    """410 while paging: the first page was read too long ago."""
    lists = [items(pod("a"), more="m1"), status(410, "expired"), items(pod("b"), version="300")]
    story = Story(sends(), lists=lists)
    async with following(story, tls, tmp_path) as (seen, server, observer):
        content, _ = await take(seen, 2)
    assert isinstance(content, Content)
    assert [it["metadata"]["name"] for it in content.objects] == ["b"]
    assert observer.ends == ["gone"]
    assert watched(server)[0].query["resourceVersion"] == "300"


@pytest.mark.parametrize(
    ("more", "asked"), [(["same"], 2), (["a", "b", "c", "d", "e", "f"], 5), (["a", "b", "a", "b", "a", "b"], 5)]
)
async def test_a_list_without_an_end_is_given_up(
    more: list[str], asked: int, tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes round in a circle at once, any other after so many pages: a scan must come to its end."""
    monkeypatch.setattr(watches, "_MOST_PAGES", 5)
    async with ApiServer(Story(lists=[items(pod(), more=it) for it in more]), tls.server) as server:
        client = api(tmp_path, server.url, tls)
        with pytest.raises(ApiError) as caught:
            await watches.listing(client, PODS, {})
        assert caught.value.trouble is Trouble.PROTOCOL
        assert len(server.asked) == asked
        await client.aclose()


async def test_a_list_that_lasts_for_too_long_is_given_up(
    tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first pages are history by then."""
    monkeypatch.setattr(watches, "_LONGEST_LIST", 0.0)
    async with ApiServer(Story(lists=[items(pod(), more="m1"), items(pod())]), tls.server) as server:
        client = api(tmp_path, server.url, tls)
        with pytest.raises(ApiError) as caught:
            await watches.listing(client, PODS, {})
        assert caught.value.trouble is Trouble.TIMEOUT
        assert len(server.asked) == 1
        await client.aclose()


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "PodList"},
        {"kind": "PodList", "metadata": {}, "items": 7},
        {"kind": "Status", "metadata": {}, "status": "Failure"},
    ],
)
async def test_a_list_that_is_none_is_told(broken: dict[str, Any], tls: Tls, tmp_path: Path) -> None:
    """And a null for no items is the server's way to say none."""
    nothing = items()
    nothing["items"] = None
    story = Story(sends(), lists=[broken, nothing])
    async with following(story, tls, tmp_path) as (seen, _, _):
        trouble, content = await take(seen, 2)
    assert isinstance(trouble, ApiError)
    assert trouble.trouble is Trouble.PROTOCOL
    assert isinstance(content, Content)
    assert content.objects == ()


async def test_a_list_alone_is_read_once(tls: Tls, tmp_path: Path) -> None:
    """One call is one attempt: what is done about a failure is the caller's affair."""
    async with ApiServer(Story(lists=[status(410, "expired")]), tls.server) as server:
        client: KubernetesApi = api(tmp_path, server.url, tls)
        with pytest.raises(ApiError) as caught:
            await watches.listing(client, PODS, {})
        assert caught.value.trouble is Trouble.GONE
        assert len(server.asked) == 1
        await client.aclose()


async def test_a_silent_connection_fails(tls: Tls, tmp_path: Path) -> None:
    """No byte for longer than bookmarks take: dead, whatever TCP believes."""
    async with ApiServer(Story(sends()), tls.server) as server:
        client = api(tmp_path, server.url, tls)
        async with await client.open_stream(PODS, {"watch": "1"}, silence=0.2) as stream:
            with pytest.raises(TimeoutError) as caught:
                await stream.content.readany()
        assert client.translated(caught.value).trouble is Trouble.TIMEOUT
        assert client.translated(ApiError(Trouble.GONE, "as it is")).trouble is Trouble.GONE
        await client.aclose()


class Impatient(KubernetesApi):
    """A client that takes a fifth of a second for a long silence."""

    async def open_stream(self, path: str, query: Any, *, silence: float) -> Any:
        """Open the watch with less patience."""
        assert silence == watches.SILENCE
        return await super().open_stream(path, query, silence=0.2)


async def test_silence_is_no_outage(tls: Tls, tmp_path: Path) -> None:
    """A watch that is told nothing for long begins anew from where it was: no list, no error, whoever follows."""
    observer = Watcher()
    story = Story(sends())
    async with ApiServer(story, tls.server) as server:
        client = Impatient(account(tmp_path, server.url, tls.ca_file), timeout=2.0)
        seen = watches.follow(client, PODS, {}, random=Random(1), observer=observer)  # type: ignore[arg-type]
        async with aclosing(seen):
            told = await take(seen, 3)
        await client.aclose()
    assert [type(it) for it in told] == [Content, Changes, Changes]
    assert [it.query["resourceVersion"] for it in watched(server)] == ["100", "100"]
    assert (story.listed, story.opened) == (1, 2)
