"""The cast of the demo, and what every scene does with it: wait for an app, for readiness, for the server's own count.

Each of these fails with what was expected and what was seen, and with the logs of those who were to bring it about.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from signal import SIGTERM

from mock_activation.demo.actors import Key, Pod, Server
from mock_activation.demo.asking import Answer
from mock_activation.demo.processes import Process
from mock_activation.demo.stage import Stage


class Cast:
    """A server with two keys of one seat each, and three pods; the server is started, the pods are not."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        """Make the keys and everybody's files in this folder."""
        self.stage = stage
        self.screen = stage.screen
        self.ledger = folder / "ledger"
        self.key_a, self.key_b = Key.make(1), Key.make(1)
        self.server = Server(stage.troupe, folder, self.key_a, self.key_b)
        self.one, self.two, self.three = self.pods = [
            Pod(stage.troupe, folder, name, self.server, self.key_a, other=self.key_b)
            for name in ("icap-1", "icap-2", "icap-3")
        ]

    def app_up(self, pod: Pod) -> str:
        """Wait until the app runs; return its deployment ID."""
        return self.stage.until(
            f"a deployment ID of the app of {pod.name}", lambda: pod.app.deployment_id, of=[pod.app.process]
        )

    def ready(self, pod: Pod) -> None:
        """Wait until traffic may come."""
        self._probe(pod, HTTPStatus.OK, list(pod.processes))

    def unready(self, pod: Pod) -> Answer:
        """Wait until no traffic may come; return what is answered."""
        return self._probe(pod, HTTPStatus.SERVICE_UNAVAILABLE, [pod.sidecar.process])

    def _probe(self, pod: Pod, status: HTTPStatus, processes: list[Process]) -> Answer:
        return self.stage.until(
            f"{status} of /readyz of {pod.name}",
            pod.sidecar.ready,
            lambda answer: answer.status == status,
            of=processes,
        )

    def seats(self, key: Key, *deployments: str) -> None:
        """Wait for exactly these seats."""
        self.stage.until(
            f"seats of key {key.fingerprint} on the server: {', '.join(deployments) or 'none'}",
            lambda: self.server.taken(key),
            lambda taken: taken == list(deployments),
            of=[self.server.process],
            tell=[pod.sidecar.process for pod in self.pods if pod.runs],
        )

    def draw(self, key: Key) -> None:
        """Draw the seats as the server counts them."""
        self.screen.seats(key.fingerprint, self.server.taken(key), key.seats)

    def freed(self, deployment: str, since: float, *, of: Iterable[Process]) -> float:
        """Wait for the release; return the seconds from ``since`` (of the epoch) to the server's own note of it."""
        at = self.stage.until(
            f"the release of {deployment} in the server's journal",
            lambda: self.server.released_at(deployment, since),
            of=of,
        )
        return at - since

    def reclaimed(self, pod: Pod, count: int) -> None:
        """Wait until this pod has reclaimed so many seats."""
        self.stage.until(
            f"{count} reclaimed seats in /metrics of {pod.name}",
            lambda: pod.sidecar.metric("reclaims_total", result="released"),
            lambda released: released >= count,
            of=[pod.sidecar.process],
        )

    def stop(self, pod: Pod) -> float:
        """End the sidecar by SIGTERM; return the seconds until the server had freed its seat."""
        deployment, sent = pod.app.deployment_id, time.time()
        pod.sidecar.process.send(SIGTERM)
        took = self.freed(deployment, sent, of=[self.server.process])
        self.ended([pod])
        return took

    def ended(self, pods: Sequence[Pod]) -> None:
        """Wait until their sidecars have ended, each with exit code 0."""
        processes = [pod.sidecar.process for pod in pods]
        expected = f"exit code 0 of {' and '.join(process.name for process in processes)}"
        codes = self.stage.until(
            expected, lambda: [process.exit_code for process in processes], lambda it: None not in it, tell=processes
        )
        wrong = [process for process in processes if process.exit_code != 0]
        self.stage.check(expected, holds=not wrong, seen=codes, of=wrong)

    def records(self, deployment: str = "") -> list[str]:
        """Return the seat records in the ledger's folder, all or those of one deployment ID."""
        found = []
        for path in self.ledger.glob("seat-*.json"):
            with suppress(FileNotFoundError):  # erased at this moment
                if deployment in path.read_text():
                    found.append(path.name)
        return found

    def no_records(self) -> None:
        """Check that the ledger is empty."""
        left = self.records()
        self.stage.check("no seat record in the ledger", holds=not left, seen=left, of=[])
