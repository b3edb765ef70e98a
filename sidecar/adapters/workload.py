"""A Deployment or StatefulSet of our own namespace: its size, through the scale subresource alone, and its pods.

A hook may not read or write the rest of it, so it does not try. It knows nothing of seats.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from sidecar.adapters import kubernetes_watch as watches
from sidecar.adapters.kubernetes_api import ApiError, Json, KubernetesApi, Trouble, collection, single
from sidecar.hook_ports import Extent, Remaining

KINDS: Final = {"deployment": "deployments", "statefulset": "statefulsets"}
"""What can be scaled here, by the word for it, with its plural."""
_GROUP: Final = "apis/apps/v1"
_NONE: Final[Json] = {"spec": {"replicas": 0}}
# Pods that have ended stay for as long as nobody collects them; an evicted one belongs to its Deployment for ever.
_NOT_ENDED: Final = "status.phase!=Succeeded,status.phase!=Failed"
_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ApiWorkload:
    """The port ``Workload``."""

    def __init__(self, api: KubernetesApi, namespace: str, kind: str, name: str) -> None:
        """Take one of ``KINDS`` and its name; nothing is asked yet."""
        self._api = api
        self._namespace = namespace
        self._scale = f"{single(_GROUP, namespace, KINDS[kind], name)}/scale"

    async def extent(self) -> Extent | None:
        """Return how many pods it is to have; None where there is no such workload."""
        try:
            return _extent((await self._api.get(self._scale)).body)
        except ApiError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return None
            raise error.outage() from error

    async def scale_to_zero(self) -> Extent | None:
        """Let it have no pods any more; None where there is no such workload."""
        try:
            return _extent((await self._api.patch(self._scale, _NONE)).body)
        except ApiError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return None
            raise error.outage() from error

    async def remaining(self, selector: str) -> Remaining:
        """Count its pods that have not ended."""
        path = collection("api/v1", self._namespace, "pods")
        query = {"labelSelector": selector, "fieldSelector": _NOT_ENDED}
        pods = leaving = 0
        try:
            async with aclosing(watches.pages(self._api, path, query, accept=_METADATA)) as pages:
                async for items, _, _ in pages:
                    pods += len(items)
                    leaving += sum(1 for it in items if (it.get("metadata") or {}).get("deletionTimestamp"))
        except ApiError as error:
            raise error.outage() from error
        return Remaining(pods, leaving)


def _extent(scale: Json) -> Extent:
    spec, status = scale.get("spec") or {}, scale.get("status") or {}
    wanted, selector = spec.get("replicas"), status.get("selector")
    return Extent(wanted if isinstance(wanted, int) else 0, selector if isinstance(selector, str) else "")
