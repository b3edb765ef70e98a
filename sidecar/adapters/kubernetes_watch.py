"""LIST, then WATCH, for ever: what a collection holds, as batches of changes (kubernetes.md, hazards of the library).

Written anew because the library's ``watch`` reconnects without a pause, asks again with a version that was just refused
as history (410), and never notices a connection that has fallen silent. It knows nothing of pods and seats.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from random import Random
from typing import Final

from sidecar.adapters.kubernetes_api import ApiError, Json, KubernetesApi, Trouble
from sidecar.ports import Observer, Outcome, Target, WatchEnd

LASTING: Final = 240
"""Seconds for which a watch is asked for at most, jittered downwards so that a fleet does not renew at once."""
SILENCE: Final = 100.0
"""Seconds without a byte after which a connection counts as dead: bookmarks come about once a minute."""
PAGE: Final = 500
_MOST_PAGES: Final = 1_000
_LONGEST_LIST: Final = 300.0
"""Seconds for all pages of a list: for about that long an API server knows what a page was of."""
_LONGEST_LINE: Final = 8 << 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_SWIFT: Final = 5.0
"""Seconds: a watch that ended sooner than this was no good, and its successor waits longer."""
_MAY_GO_ON: Final = frozenset({Trouble.NETWORK, Trouble.TIMEOUT, Trouble.BUSY})
"""Ends after which the same version is still good: what changed meanwhile is told then."""
_ENDS: Final = {Trouble.GONE: WatchEnd.GONE, Trouble.NETWORK: WatchEnd.NETWORK, Trouble.TIMEOUT: WatchEnd.NETWORK}


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that the collection holds now; ``date``: the API server's clock at that moment, if it told."""

    objects: tuple[Json, ...]
    date: float | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since: (``ADDED``, ``MODIFIED`` or ``DELETED``, object). None at all: the watch goes on.

    So says a bookmark: without its version a quiet collection would be history when its watch is renewed.
    """

    events: tuple[tuple[str, Json], ...] = ()


Seen = Content | Changes | ApiError


async def listing(
    api: KubernetesApi, path: str, query: Mapping[str, str], *, accept: str = "application/json"
) -> Content:
    """Return everything in a collection, page by page. Raises ``ApiError``; 410 if a page is history by then."""
    content, _ = await _listing(api, path, query, accept)
    return content


async def pages(
    api: KubernetesApi, path: str, query: Mapping[str, str], *, accept: str = "application/json"
) -> AsyncGenerator[tuple[list[Json], Json, float | None], None]:
    """Yield (objects, metadata of the list, the server's clock) page by page, for whoever keeps little of each."""
    follow, what, clock = "", path.rpartition("/")[2], asyncio.get_running_loop().time
    until = clock() + _LONGEST_LIST
    for _ in range(_MOST_PAGES):
        more = {"continue": follow} if follow else {}
        reply = await api.get(path, {**query, "limit": str(PAGE), **more}, accept=accept)
        items, meta, kind = reply.body.get("items"), reply.body.get("metadata"), str(reply.body.get("kind"))
        if not kind.endswith("List") or not isinstance(meta, dict) or not (items is None or isinstance(items, list)):
            raise ApiError(Trouble.PROTOCOL, f"the API server's answer to a list of {what} is none")
        yield [it for it in items or () if isinstance(it, dict)], meta, reply.date
        before, follow = follow, str(meta.get("continue") or "")
        if not follow:
            return
        if follow == before:
            raise ApiError(Trouble.PROTOCOL, f"the API server's list of {what} goes round in a circle")
        if clock() >= until:
            raise ApiError(Trouble.TIMEOUT, f"no end of the API server's list of {what} within {_LONGEST_LIST:g} s")
    raise ApiError(Trouble.PROTOCOL, f"no end of the API server's list of {what} after {_MOST_PAGES} pages")


async def _listing(api: KubernetesApi, path: str, query: Mapping[str, str], accept: str) -> tuple[Content, str]:
    objects: list[Json] = []
    version, date = "", None
    async with aclosing(pages(api, path, query, accept=accept)) as found:
        async for items, meta, date in found:  # noqa: B007 - the last page's clock and version are those of the list
            objects.extend(items)
            version = str(meta.get("resourceVersion", ""))
    return Content(tuple(objects), date), version


async def follow(
    api: KubernetesApi,
    path: str,
    query: Mapping[str, str],
    *,
    random: Random,
    observer: Observer,
) -> AsyncGenerator[Seen, None]:
    """Yield the content, then its changes; an ``ApiError`` while it cannot be seen, and the content anew after that.

    ``observer`` is told of every watch, and of those that had to begin anew before their time.
    """
    failures, version = 0, ""
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            if not version:
                content, version = await _listing(api, path, query, "application/json")
                yield content
            asked = {
                **query,
                "watch": "1",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(int(LASTING * (0.75 + 0.25 * random.random()))),
            }
            async with aclosing(_watch(api, path, asked, observer)) as batches:
                async for batch, version in batches:  # noqa: B007 - goes on from here whatever ends the watch
                    failures = 0 if batch.events or clock() - began >= _SWIFT else failures
                    yield batch
            if clock() - began >= _SWIFT:
                failures = 0
                continue
            observer.watch_ended(WatchEnd.CLOSED)
            pause = 0.0
        except ApiError as error:
            observer.watch_ended(_ENDS.get(error.trouble, WatchEnd.PROTOCOL))
            pause = error.retry_after or 0.0
            if error.trouble not in _MAY_GO_ON:
                version = ""
            if error.trouble is not Trouble.GONE:
                yield error
        failures += 1
        # The first time at once but for the jitter: most ends are a restart or a balancer that moved on.
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
        await asyncio.sleep(max(longest * (0.5 + 0.5 * random.random()), min(pause, 60.0)))


async def _watch(
    api: KubernetesApi, path: str, asked: Mapping[str, str], observer: Observer
) -> AsyncGenerator[tuple[Changes, str], None]:
    """Yield what a watch tells, each time with the version to go on from."""
    version = asked["resourceVersion"]
    began, outcome = asyncio.get_running_loop().time(), Outcome.RETRYABLE
    try:
        stream = await api.open_stream(path, asked, silence=SILENCE)
        outcome = Outcome.OK
    finally:
        observer.requested(Target.LEDGER, "watch", outcome, asyncio.get_running_loop().time() - began)
    async with stream:
        yield Changes(), version
        rest = b""
        while True:
            try:
                part = await stream.content.readany()
            except TimeoutError:
                # Silence is no outage: where no pod of the whole cluster changes, there are no bookmarks. The next
                # watch goes on from here, and shows whether anybody is there.
                return
            except Exception as error:
                raise api.translated(error) from error
            if not part:
                if rest.strip():  # a page of a proxy, in one line
                    raise ApiError(Trouble.PROTOCOL, "a watch of the API server ends in the middle of a line")
                return
            *lines, rest = (rest + part).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                raise ApiError(Trouble.PROTOCOL, "a watch of the API server sends no end of a line")
            before = version
            events, version = _events(lines, version)
            if events or version != before:
                yield Changes(events), version


def _events(lines: list[bytes], version: str) -> tuple[tuple[tuple[str, Json], ...], str]:
    events: list[tuple[str, Json]] = []
    for line in lines:
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            kind, found = event["type"], event["object"]
            meta = found["metadata"] if kind != "ERROR" else {}
            version = str(meta.get("resourceVersion") or version)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ApiError(Trouble.PROTOCOL, "a watch of the API server sends what is no event") from error
        if kind == "ERROR":
            gone = isinstance(found, dict) and found.get("code") == 410  # noqa: PLR2004 - Gone
            raise ApiError(Trouble.GONE if gone else Trouble.FAILED, "the API server ended a watch with an error")
        if kind != "BOOKMARK":
            events.append((str(kind), found))
    return tuple(events), version
