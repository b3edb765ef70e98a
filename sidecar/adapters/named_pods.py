"""Pods of our own namespace by name alone, for IDs that older automation wrote down beside a pod's name.

A name proves less than a uid: a pod of that name that lives keeps the ID, whoever it is. That nobody has the name means
something only after our own pod was seen under its own.
"""

from __future__ import annotations

from typing import Final

from sidecar.adapters.kubernetes_api import ApiError, Json, KubernetesApi, Reply, Trouble, single
from sidecar.adapters.pods import GROUP, is_pod_name, shown, standing
from sidecar.core.records import Owner, Sight, Standing

_BLIND: Final = "our own pod cannot be seen, so nobody's absence means anything"


class ApiNamedPods:
    """The port ``NamedPods``; ``own`` is the pod that must be visible first."""

    def __init__(self, api: KubernetesApi, own: Owner) -> None:
        """Take who we are; nothing is asked yet."""
        self._api = api
        self._own = own
        self._sees = False

    async def look(self, name: str) -> Sight | None:
        """Tell whether a pod of this name lives; None if no pod can have it. Raises ``LedgerOutage``."""
        if not is_pod_name(name):
            return None
        try:
            if not self._sees and not await self._sees_itself():
                return Sight(Standing.UNPROVEN, _BLIND)
            reply = await self._get(name)
        except ApiError as error:
            match error.trouble:
                case Trouble.NOT_FOUND:
                    return Sight(Standing.GONE, f"the pod {name} does not exist")
                case Trouble.FORBIDDEN:
                    why = f"we may not look at pods in the namespace {self._own.namespace}"
                    return Sight(Standing.UNPROVEN, why)
            raise error.outage() from error
        return standing(reply.body, reply.date)

    async def _sees_itself(self) -> bool:
        try:
            reply = await self._get(self._own.pod)
        except ApiError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return False
            raise
        meta: Json = reply.body.get("metadata") or {}
        self._sees = bool(self._own.uid) and meta.get("uid") == self._own.uid
        return self._sees

    async def _get(self, name: str) -> Reply:
        reply = await self._api.get(single(GROUP, self._own.namespace, "pods", name))
        shown(reply.body)
        return reply
