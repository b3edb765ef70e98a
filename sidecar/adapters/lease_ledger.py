"""The ledger in Kubernetes: one Lease for each seat record (design.md sections 4 and 6, kubernetes.md, Leases).

Compare-and-swap is ``metadata.resourceVersion``; the uid stands beside it, because a Lease that was deleted and made
anew must not be written over, and because the API server would otherwise create what an update does not find. There
is no ownerReference to the pod (garbage collection would delete the record just when it is needed) and no finalizer.
It decides nothing: what a record means is the core's affair.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from random import Random
from typing import Final

from sidecar.adapters import kubernetes_watch as watches
from sidecar.adapters.kubernetes_api import ApiError, Json, KubernetesApi, Trouble, collection, single
from sidecar.adapters.lease_record import SELECTOR, Unreadable, decode, encode, mended, split
from sidecar.core.records import Listing, SeatRecord, Stored, Stray
from sidecar.errors import Conflict, LedgerOutage
from sidecar.ports import Observer

GROUP: Final = "apis/coordination.k8s.io/v1"
_QUERY: Final = {"labelSelector": SELECTOR}
_CHANGED: Final = frozenset({Trouble.CONFLICT, Trouble.NOT_FOUND})


class LeaseLedger:
    """The port ``Ledger`` over the Leases of one namespace. ``lease``: seconds, written down for people."""

    def __init__(self, api: KubernetesApi, namespace: str, *, lease: float, random: Random, observer: Observer) -> None:
        """Take the API server; nothing is asked yet."""
        self._api = api
        self._namespace = namespace
        self._lease = lease
        self._random = random
        self._observer = observer
        self._path = collection(GROUP, namespace, "leases")

    async def list(self) -> Listing:
        """Return all records and strays, in the order of their names."""
        try:
            content = await watches.listing(self._api, self._path, _QUERY)
        except ApiError as error:
            raise error.outage() from error
        return _listing(map(_found, content.objects))

    async def read(self, name: str) -> Stored | None:
        """Return one record, or None. A Lease of that name that is no record is an outage: it must not be replaced."""
        lease = await self._get(name)
        return None if lease is None else self._decoded(lease)

    async def create(self, record: SeatRecord) -> Stored:
        """Write a record that must not exist yet. Raises ``Conflict``."""
        body = encode(record, self._namespace, lease=self._lease, over=None)
        try:
            reply = await self._api.create(self._path, body)
        except ApiError as error:
            if error.trouble is not Trouble.CONFLICT:
                raise error.outage() from error
            raise Conflict(record.identity.name, await self._current(record, uid="")) from error
        return self._decoded(reply.body)

    async def replace(self, expected: Stored, record: SeatRecord) -> Stored:
        """Write over exactly ``expected.version``. Raises ``Conflict``; ``ValueError`` for another seat's record."""
        if record.identity != expected.record.identity:
            raise ValueError("a record keeps its identity: another seat is another record")
        body = encode(record, self._namespace, lease=self._lease, over=expected)
        try:
            reply = await self._api.replace(self._single(expected.name), body)
        except ApiError as error:
            raise await self._lost(expected, error) from error
        return self._decoded(reply.body)

    async def erase(self, expected: Stored) -> None:
        """Remove exactly ``expected.version``. Raises ``Conflict``."""
        uid, version, _ = split(expected.version)
        try:
            await self._api.delete(self._single(expected.name), uid=uid, version=version)
        except ApiError as error:
            raise await self._lost(expected, error) from error

    async def follow(self) -> AsyncGenerator[Listing, None]:
        """Yield the ledger's content now and after each change, until closed."""
        # Decoded once each: a fleet of 1,000 renews 65 records a second, and whoever waits for a seat sees them all.
        held: dict[str, Stored | Stray] = {}
        seen = watches.follow(self._api, self._path, _QUERY, random=self._random, observer=self._observer)
        async with aclosing(seen) as batches:
            async for batch in batches:
                match batch:
                    case watches.Content(objects=objects):
                        held = {_name(it): _found(it) for it in objects}
                    case watches.Changes(events=()):
                        continue
                    case watches.Changes(events=events):
                        for kind, lease in events:
                            if kind == "DELETED":
                                held.pop(_name(lease), None)
                            else:
                                held[_name(lease)] = _found(lease)
                    case ApiError():
                        raise batch.outage() from batch
                yield _listing(held.values())

    def _single(self, name: str) -> str:
        return single(GROUP, self._namespace, "leases", name)

    async def _get(self, name: str) -> Json | None:
        try:
            return (await self._api.get(self._single(name))).body
        except ApiError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return None
            raise error.outage() from error

    async def _current(self, record: SeatRecord, *, uid: str) -> Stored | None:
        """Return what stands where this record was to be written; ``uid``: the Lease's own, empty for a new one.

        Our own Lease that somebody damaged is shown as our record: its owner writes it again by compare-and-swap. Told
        as an outage, a living pod's seat would have had no record for ever, and leaked with the pod.
        """
        lease = await self._get(record.identity.name)
        if lease is None:
            return None
        try:
            return decode(lease)
        except Unreadable as fault:
            own = mended(lease, record, uid=uid)
            if own is None:
                raise self._in_the_way(lease, fault) from fault
            return own

    def _decoded(self, lease: Json) -> Stored:
        try:
            return decode(lease)
        except Unreadable as fault:
            raise self._in_the_way(lease, fault) from fault

    def _in_the_way(self, lease: Json, fault: Unreadable) -> LedgerOutage:
        text = f"the Lease {self._namespace}/{_name(lease)} is in the way of a seat record: {fault}"
        return LedgerOutage(text, lasting=True)

    async def _lost(self, expected: Stored, error: ApiError) -> Conflict | LedgerOutage:
        """Return what a write that was refused means; the uid among the preconditions makes 409 of a new Lease too."""
        if error.trouble not in _CHANGED:
            return error.outage()
        try:
            return Conflict(expected.name, await self._current(expected.record, uid=split(expected.version)[0]))
        except LedgerOutage as outage:
            return outage


def _name(lease: Json) -> str:
    meta = lease.get("metadata")
    return str(meta.get("name", "")) if isinstance(meta, dict) else ""


def _found(lease: Json) -> Stored | Stray:
    try:
        return decode(lease)
    except Unreadable as fault:
        return Stray(_name(lease), str(fault))


def _listing(found: Iterable[Stored | Stray]) -> Listing:
    ordered = sorted(found, key=lambda it: it.name)
    return Listing(
        tuple(it for it in ordered if isinstance(it, Stored)), tuple(it for it in ordered if isinstance(it, Stray))
    )
