"""Pods as the API server knows them: our own (rules 15, 17, 18), and whether the owners of records live (rule 10).

Gone is only what a GET without a resourceVersion does not find, or finds under another uid, ended, or overdue in its
deletion by the API server's own clock; what must not be looked at (403) is not gone, and an answer that shows no pod
(a ``Status``, a pod without a uid) shows nothing. A glance at many never proves an end. It must not touch seat records.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any, Final

from sidecar.adapters import kubernetes_watch as watches
from sidecar.adapters.kubernetes_api import ApiError, Json, KubernetesApi, Reply, Trouble, collection, single
from sidecar.core.facts import AppContainer, PodReport
from sidecar.core.reasons import AppEnd
from sidecar.core.records import Owner, Sight, Standing
from sidecar.errors import LedgerOutage
from sidecar.ports import Observer, Outcome, Target

GROUP: Final = "api/v1"
OVERDUE: Final = 30.0
"""Seconds after the end of its grace period from which on a pod that is still there counts as gone: its kubelet, which
would have removed it, does not answer."""
_LABEL: Final = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAMESPACE: Final = re.compile(_LABEL)
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_NAMESPACE, _LONGEST_NAME = 63, 253
_TERMINAL: Final = frozenset({"Succeeded", "Failed"})
_ENDED: Final = {"fieldSelector": "status.phase!=Pending,status.phase!=Running,status.phase!=Unknown"}
_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_FEW: Final = 8
"""Up to so many owners are looked at one by one: a list of all pods would be more."""
_FRESH: Final = 2.0
"""Seconds for which a glance is good: while somebody waits for a seat, every change of the ledger asks for one."""
_FORBIDDEN: Final = 60.0
"""Seconds for which a namespace that must not be looked into is not asked about again. Not for longer: an API server
that has just started forbids everything for a moment."""


class OwnApiPod:
    """The port ``OwnPod``. ``container``: the name of the app's container."""

    def __init__(self, api: KubernetesApi, owner: Owner, container: str, *, random: Random, observer: Observer) -> None:
        """Take who we are; nothing is asked yet."""
        self._api = api
        self._owner = owner
        self._container = container
        self._random = random
        self._observer = observer

    async def look(self) -> PodReport:
        """Look now. Raises ``LedgerOutage``."""
        try:
            reply = await self._api.get(single(GROUP, self._owner.namespace, "pods", self._owner.pod))
            pod = shown(reply.body)
        except ApiError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return PodReport(uid="")
            raise error.outage() from error
        return report(pod, self._container, reply.date)

    async def follow(self) -> AsyncGenerator[PodReport | LedgerOutage, None]:
        """Yield the pod now, after each change, and at each renewal of the watch; why it cannot be seen meanwhile."""
        path = collection(GROUP, self._owner.namespace, "pods")
        query = {"fieldSelector": f"metadata.name={self._owner.pod}"}
        seen = watches.follow(self._api, path, query, random=self._random, observer=self._observer)
        last = PodReport(uid="")
        async with aclosing(seen) as batches:
            async for batch in batches:
                try:
                    last = await self._after(last, batch)
                except ApiError as error:
                    yield error.outage()
                    continue
                yield last
                # What was left of the grace period was true at that moment only.
                last = replace(last, grace_left=None)

    async def _after(self, last: PodReport, batch: watches.Seen) -> PodReport:
        """Return the pod after what the watch tells. Raises ``ApiError`` if that is nothing about a pod."""
        match batch:
            case watches.Content(objects=objects, date=date):
                last = PodReport(uid="")
                for pod in objects:
                    last = report(shown(pod), self._container, date)
            case watches.Changes(events=events):
                for kind, pod in events:
                    # An event has no clock beside it; what is left of a grace period is asked for by a look.
                    last = PodReport(uid="") if kind == "DELETED" else report(shown(pod), self._container, None)
                if events and last.deleting:
                    last = await self._with_clock(last)
            case ApiError():
                raise batch
        return last

    async def _with_clock(self, seen: PodReport) -> PodReport:
        try:
            return await self.look()
        except LedgerOutage:
            return seen


class ApiOwners:
    """The port ``Owners``; ``own`` is the pod that must be visible before anybody's absence means anything."""

    def __init__(self, api: KubernetesApi, own: Owner, observer: Observer) -> None:
        """Take who we are; nothing is asked yet."""
        self._api = api
        self._own = own
        self._observer = observer
        self._forbidden: dict[str, float] = {}
        self._glances: dict[str, tuple[float, Mapping[str, Sight]]] = {}

    async def sees_itself(self) -> bool:
        """Prove that we can see: our own pod is there. Raises ``LedgerOutage`` where looking itself fails."""
        try:
            reply = await self._get(self._own)
        except ApiError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return False
            raise error.outage() from error
        return bool(self._own.uid) and _uid(reply.body) == self._own.uid

    async def look(self, owner: Owner) -> Sight:
        """Look at one owner. Raises ``LedgerOutage`` where looking itself fails."""
        if not owner.namespace or not owner.pod or not owner.uid:
            return Sight(Standing.UNPROVEN, "its record names no pod, or contradicts itself (was it edited?)")
        if not is_pod_name(owner.pod) or not is_namespace(owner.namespace):
            return Sight(Standing.UNPROVEN, "its record names a pod or a namespace that cannot be (was it edited?)")
        where = f"pods in the namespace {owner.namespace}"
        if self._is_forbidden(owner.namespace):
            return Sight(Standing.UNPROVEN, f"we may not look at {where}")
        try:
            reply = await self._get(owner)
        except ApiError as error:
            match error.trouble:
                case Trouble.NOT_FOUND:
                    return Sight(Standing.GONE, "its pod does not exist")
                case Trouble.FORBIDDEN:
                    self._forbid(owner.namespace)
                    return Sight(Standing.UNPROVEN, f"we may not look at {where}")
                case Trouble.INVALID:
                    # Whatever it finds wrong with this one, the others can be asked for.
                    return Sight(Standing.UNPROVEN, str(error))
                case _:
                    raise error.outage() from error
        if _uid(reply.body) != owner.uid:
            return Sight(Standing.GONE, "its pod was replaced by another of the same name")
        return standing(reply.body, reply.date)

    async def glance(self, owners: Sequence[Owner]) -> Mapping[str, Sight]:
        """Return who certainly lives, by uid, from one list of names for each namespace. Raises ``LedgerOutage``."""
        by_namespace: dict[str, set[str]] = {}
        for owner in owners:
            by_namespace.setdefault(owner.namespace, set()).add(owner.uid)
        found: dict[str, Sight] = {}
        for namespace, uids in by_namespace.items():
            if not is_namespace(namespace) or len(uids) <= _FEW or self._is_forbidden(namespace):
                continue
            known = await self._glanced(namespace)
            found.update((uid, known[uid]) for uid in uids if uid in known)
        return found

    async def _glanced(self, namespace: str) -> Mapping[str, Sight]:
        now = asyncio.get_running_loop().time()
        at, known = self._glances.get(namespace, (-_FRESH, {}))
        if now - at < _FRESH:
            return known
        path, outcome = collection(GROUP, namespace, "pods"), Outcome.RETRYABLE
        seen: dict[str, Sight] = {}
        try:
            async with aclosing(watches.pages(self._api, path, {}, accept=_METADATA)) as pages:
                async for items, _, date in pages:
                    seen.update((_uid(it), sight) for it in items if (sight := standing(it, date)).standing is _LIVE)
            ended = await watches.listing(self._api, path, _ENDED, accept=_METADATA)
            outcome = Outcome.OK
        except ApiError as error:
            if error.trouble is Trouble.FORBIDDEN:
                self._forbid(namespace)
            elif error.trouble is not Trouble.INVALID:
                raise error.outage() from error
            return {}
        finally:
            self._observer.requested(Target.LEDGER, "pod", outcome, asyncio.get_running_loop().time() - now)
        for pod in ended.objects:
            seen.pop(_uid(pod), None)
        self._glances[namespace] = (now, seen)
        return seen

    async def _get(self, owner: Owner) -> Reply:
        loop = asyncio.get_running_loop()
        began, outcome = loop.time(), Outcome.RETRYABLE
        try:
            reply = await self._api.get(single(GROUP, owner.namespace, "pods", owner.pod))
            shown(reply.body)
            outcome = Outcome.OK
        except ApiError as error:
            outcome = Outcome.OK if error.trouble is Trouble.NOT_FOUND else outcome
            raise
        finally:
            self._observer.requested(Target.LEDGER, "pod", outcome, loop.time() - began)
        return reply

    def _is_forbidden(self, namespace: str) -> bool:
        return asyncio.get_running_loop().time() < self._forbidden.get(namespace, 0.0)

    def _forbid(self, namespace: str) -> None:
        if namespace == self._own.namespace:
            return  # a Role that is about to come should not be waited for any longer than that
        self._forbidden[namespace] = asyncio.get_running_loop().time() + _FORBIDDEN


_LIVE: Final = Standing.LIVE


def is_pod_name(text: str) -> bool:
    """Tell whether a pod can have this name (a DNS subdomain); any other would make a path of something else."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def is_namespace(text: str) -> bool:
    """Tell whether a namespace can have this name (a DNS label)."""
    return len(text) <= _LONGEST_NAMESPACE and _NAMESPACE.fullmatch(text) is not None


def shown(body: Json) -> Json:
    """Return the pod that an answer shows. Raises ``ApiError`` if it shows none: that is not the absence of a pod.

    In a list the objects have no kind.
    """
    if body.get("kind", "Pod") != "Pod" or not _uid(body):
        raise ApiError(Trouble.PROTOCOL, "the API server's answer to a question for a pod is no pod")
    return body


def standing(pod: Json, date: float | None) -> Sight:
    """Return how a pod that exists stands; ``date``: the API server's clock, seconds since the epoch."""
    phase = _phase(pod)
    if phase in _TERMINAL:
        return Sight(Standing.GONE, f"its pod has ended ({phase})")
    left = grace_left(pod, date)
    if left is not None and left < -OVERDUE:
        return Sight(Standing.GONE, f"its pod should have been deleted {-left:.0f} s ago: its node does not answer")
    leaving = _deletion(pod) is not None or _disrupted(pod)
    return Sight(Standing.LIVE, "its pod is being deleted" if leaving else "its pod is there", leaving=leaving)


def report(pod: Json, container: str, date: float | None) -> PodReport:
    """Return what a pod's object says about the pod itself and about the app's container."""
    status, spec = _status(pod), _mapping(pod, "spec")
    names = [str(it.get("name")) for it in _list(spec, "containers")]
    fault = ""
    if names and container not in names:
        fault = f"app.container is {container}, but the pod's containers are {', '.join(names)}"
    app = next((_container(it) for it in _list(status, "containerStatuses") if it.get("name") == container), None)
    return PodReport(
        uid=_uid(pod),
        deleting=_deletion(pod) is not None,
        grace_left=grace_left(pod, date),
        ended=_phase(pod) in _TERMINAL or _disrupted(pod),
        app=app,
        fault=fault,
    )


def grace_left(pod: Json, date: float | None) -> float | None:
    """Return the seconds left of a pod's deletion by the API server's clock (deletionTimestamp contains the grace)."""
    at = _deletion(pod)
    return None if at is None or date is None else at - date


def _container(status: Json) -> AppContainer:
    """Return how a container is: states coalesce, so no field is read alone (kubernetes.md, "A crash of the app")."""
    state, last = _mapping(status, "state"), _mapping(status, "lastState")
    restarts = status.get("restartCount")
    count = restarts if isinstance(restarts, int) else 0
    died, before = state.get("terminated"), last.get("terminated")
    ended = None
    if "running" not in state and (died is not None or before is not None or count > 0):
        # An earlier end says nothing about this one.
        newest = died if isinstance(died, dict) else before
        reason = newest.get("reason") if isinstance(newest, dict) else None
        waits = str(_mapping(state, "waiting").get("reason"))
        ended = (
            AppEnd.OOM if reason == "OOMKilled" else AppEnd.CRASH_LOOP if waits == "CrashLoopBackOff" else AppEnd.EXIT
        )
    return AppContainer(id=str(status.get("containerID") or ""), restarts=count, ended=ended)


def _phase(pod: Json) -> str:
    return str(_status(pod).get("phase"))


def _disrupted(pod: Json) -> bool:
    conditions = _list(_status(pod), "conditions")
    return any(it.get("type") == "DisruptionTarget" and it.get("status") == "True" for it in conditions)


def _deletion(pod: Json) -> float | None:
    text = _mapping(pod, "metadata").get("deletionTimestamp")
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _uid(pod: Json) -> str:
    return str(_mapping(pod, "metadata").get("uid") or "")


def _status(pod: Json) -> Json:
    return _mapping(pod, "status")


def _mapping(content: Json, field: str) -> Json:
    value: Any = content.get(field)
    return value if isinstance(value, dict) else {}


def _list(content: Json, field: str) -> list[Json]:
    value: Any = content.get(field)
    return [it for it in value if isinstance(it, dict)] if isinstance(value, list) else []
