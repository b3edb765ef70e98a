"""Writes events that belong to our own pod (``kubectl describe pod``, ``kubectl events``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from sidecar.adapters.kubernetes_api import MANAGER, ApiError, KubernetesApi, collection
from sidecar.core.records import Owner
from sidecar.ports import Observer, Outcome, Target

_LONGEST: Final = 1024
"""Characters of a note; the API server refuses longer ones."""


class ApiPodJournal:
    """The port ``PodJournal``. ``wall`` tells seconds since the epoch."""

    def __init__(self, api: KubernetesApi, owner: Owner, observer: Observer, wall: Callable[[], float]) -> None:
        """Take our pod; nothing is asked yet."""
        self._api = api
        self._owner = owner
        self._observer = observer
        self._wall = wall

    async def post(self, reason: str, note: str, *, warning: bool) -> None:
        """Add an event. Raises ``LedgerOutage``."""
        owner, now = self._owner, datetime.fromtimestamp(self._wall(), UTC)
        second = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{owner.pod[:200]}.seat-", "namespace": owner.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": owner.namespace,
                "name": owner.pod,
                "uid": owner.uid,
            },
            "reason": reason,
            "message": note[:_LONGEST],
            "type": "Warning" if warning else "Normal",
            "source": {"component": MANAGER, "host": owner.node},
            "reportingComponent": MANAGER,
            "reportingInstance": owner.pod,
            "firstTimestamp": second,
            "lastTimestamp": second,
            "count": 1,
        }
        loop = asyncio.get_running_loop()
        began, outcome = loop.time(), Outcome.RETRYABLE
        try:
            await self._api.create(collection("api/v1", owner.namespace, "events"), body)
            outcome = Outcome.OK
        except ApiError as error:
            raise error.outage() from error
        finally:
            self._observer.requested(Target.LEDGER, "event", outcome, loop.time() - began)
