"""A kubelet whose containers are processes of this machine, for one made-up node of the test cluster.

The scheduler binds pods to the node, the controllers see their status: Deployments roll, Jobs finish, Helm waits as in
any cluster. What is not like a cluster: images are programs (``images``), resources are not limited, network policies
are not enforced. It must never touch an object but the pods of its node.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, Self

import httpx

from tests.chart.kubelet.container import compile_code
from tests.chart.kubelet.environment import entries
from tests.chart.kubelet.logs import LogServer
from tests.chart.kubelet.network import Node
from tests.chart.kubelet.pod import Pod
from tests.chart.kubelet.services import Services
from tests.cluster.control_plane.admin import Admin
from tests.cluster.control_plane.api import MERGE, ApiError, Object, path
from tests.cluster.control_plane.plane import ControlPlane

NODE: Final = "process-node"
_START: Final = 30.0
_AGAIN: Final = 0.2
_THREADS: Final = 16
_GONE: Final = (404, 409)
_EVENTS: Final = ("ADDED", "MODIFIED", "DELETED")


class Kubelet:
    """From ``start`` to ``stop``, or as a context manager; everything runs in one thread of its own."""

    def __init__(self, plane: ControlPlane, folder: Path, node: str = NODE) -> None:
        """Take a cluster of our own; ``folder`` keeps logs, volumes and claims."""
        self.admin: Admin = plane.admin
        self.url = plane.url
        self._token = plane.admin_token
        self.node_name = node
        self.logs = folder / "logs"
        self.claims = folder / "claims"
        self._pods_folder = folder / "pods"
        for one in (self.logs, self.claims, self._pods_folder):
            one.mkdir(parents=True)
        self.pods: dict[str, Pod] = {}
        self.environment: dict[str, str] = {}
        self.errors: list[BaseException] = []
        self._notes: list[str] = []
        self._since = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="kubelet")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Register the node and serve it."""
        self._thread.start()
        if not self._ready.wait(_START) or self.errors:
            self.stop()
            raise RuntimeError(f"the kubelet did not start: {self.errors}")

    def stop(self) -> None:
        """End all pods' processes; their objects stay."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    # --- for tests ----------------------------------------------------------------------------------------------------

    def execute(self, namespace: str, pod: str, container: str, *command: str, limit: float = 30) -> tuple[int, str]:
        """Run a command in a container, as ``kubectl exec`` does; return code and output."""
        process = self.pod(namespace, pod).life(container).process
        assert process is not None, f"{container} of {pod} does not run"
        return asyncio.run_coroutine_threadsafe(process.execute(command, limit), self._loop).result(limit + 5)

    def signal(self, namespace: str, pod: str, container: str, number: int) -> None:
        """Send a signal to a container's process, as its own node might."""
        process = self.pod(namespace, pod).life(container).process
        assert process is not None, f"{container} of {pod} does not run"
        process.signal(number)

    def kill(self, namespace: str, pod: str) -> None:
        """End all processes of a pod without a word and without a report, as when its node is gone."""
        found = self.pod(namespace, pod)
        self._loop.call_soon_threadsafe(found.kill)

    def pod(self, namespace: str, name: str) -> Pod:
        """Return a pod that is here."""
        return next(it for it in list(self.pods.values()) if (it.namespace, it.name) == (namespace, name))

    def ask(self, address: str, port: int, target: str, method: str = "GET", body: Any = None) -> tuple[int, str]:
        """Make an HTTP request from the node; return status and text."""
        connection = HTTPConnection(address, port, timeout=10)
        connection.sock = self.node.socket()
        with contextlib.closing(connection):
            connection.sock.settimeout(10)
            connection.sock.connect((address, port))
            content = None if body is None else json.dumps(body)
            connection.request(method, target, content, {"Content-Type": "application/json"} if content else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def entries(self, namespace: str, secret: str) -> dict[str, str]:
        """Return the entries of a Secret, decoded."""
        found = entries("secrets", self.admin.get("secrets", secret, namespace))
        return {name: content.decode() for name, content in found.items()}

    def log(self, namespace: str, pod: str, container: str) -> str:
        """Return what a container wrote, also after its end."""
        file = self.logs / f"{namespace}_{pod}_{container}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def story(self, namespace: str) -> str:
        """Return what happened in a namespace, and the last words of everything that ran there."""
        notes = [it for it in self._notes if f" {namespace}/" in it]
        words = [f"--- {it.name}\n{it.read_text(errors='replace')[-1500:]}" for it in self.logs.glob(f"{namespace}_*")]
        return "\n".join([*notes, *words, *map(repr, self.errors)])

    def note(self, pod: Pod, text: str) -> None:
        """Remember what happened."""
        self._notes.append(f"{time.monotonic() - self._since:8.2f} {pod.namespace}/{pod.name}: {text}")

    # --- for the pods -------------------------------------------------------------------------------------------------

    async def report(self, pod: Pod, status: Object) -> None:
        """Write a pod's status, unless it is another pod of that name by now."""
        target = path("pods", pod.namespace, pod.name, "status")
        body = {"metadata": {"uid": pod.uid}, "status": status}
        await self._ask("PATCH", target, body, content_type=MERGE)

    # --- the thread ---------------------------------------------------------------------------------------------------

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._loop.set_default_executor(ThreadPoolExecutor(_THREADS))
        self._client = httpx.AsyncClient(
            base_url=self.url,
            verify=ssl.create_default_context(cadata=self.admin.authority),
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=_START,
            trust_env=False,
        )
        try:
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(self._client)
                await asyncio.to_thread(compile_code)
                self.node = stack.enter_context(contextlib.closing(Node()))
                self.services = Services(self.node, self.url)
                stack.push_async_callback(self.services.close)
                logs = await stack.enter_async_context(LogServer(self.logs))
                await asyncio.to_thread(self._register, logs.port)
                self.environment = {
                    "KUBERNETES_SERVICE_HOST": self.admin.get("services", "kubernetes", "default")["spec"]["clusterIP"],
                    "KUBERNETES_SERVICE_PORT": "443",
                }
                stack.push_async_callback(self._end)
                mine = {"fieldSelector": f"spec.nodeName={self.node_name}"}
                self._spawn(self._watch("pods", self._pod_event, **mine))
                self._spawn(self._watch("services", self.services.service))
                self._spawn(self._watch("endpointslices", self.services.slice))
                self._spawn(self._watch("secrets", self._source_event("secrets")))
                self._spawn(self._watch("configmaps", self._source_event("configmaps")))
                self._ready.set()
                await self._stop.wait()
        except BaseException as error:
            self.errors.append(error)
            self._ready.set()
            raise

    def _register(self, port: int) -> None:
        self.admin.create_node(self.node_name)
        self.admin.patch_status(
            "nodes",
            self.node_name,
            {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            },
        )

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Awaitable[None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - the fixture tells it; one pod's fault must not end the others
                self.errors.append(error)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, resource: str, told: Callable[[str, Object], Awaitable[None]], **params: str) -> None:
        """Tell all objects of a kind as ADDED, and then whatever happens to them."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                query = {"watch": "true", "resourceVersion": "0", **params}  # from the cache, which is there at once
                async with self._client.stream("GET", path(resource), params=query, timeout=None) as answer:
                    async for line in answer.aiter_lines():
                        event = json.loads(line)
                        if event["type"] not in _EVENTS:
                            break
                        await told(event["type"], event["object"])
            await asyncio.sleep(_AGAIN)

    async def _pod_event(self, event: str, it: Object) -> None:
        uid = it["metadata"]["uid"]
        pod = self.pods.get(uid)
        if event == "DELETED":
            if pod is not None:
                pod.delete(1)  # by force: the API server asks nobody
        elif pod is None and "deletionTimestamp" not in it["metadata"]:
            pod = self.pods[uid] = Pod(self, it, self._pods_folder / uid)
            self.note(pod, "is here")
            self._spawn(self._carry(pod))
        elif pod is not None and "deletionTimestamp" in it["metadata"] and not pod.deleted.is_set():
            self.note(pod, "is being deleted")
            pod.delete(it["metadata"].get("deletionGracePeriodSeconds", 30))
        elif pod is not None:
            pod.see(it)
        else:
            await self._confirm(it["metadata"]["namespace"], it["metadata"]["name"], uid)

    async def _carry(self, pod: Pod) -> None:
        try:
            await pod.live()
            await pod.tell()
            await self._confirm(pod.namespace, pod.name, pod.uid)
            self.note(pod, "is gone")
        finally:
            del self.pods[pod.uid]

    async def _confirm(self, namespace: str, name: str, uid: str) -> None:
        """Let the object go: nothing of this pod runs any more."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        await self._ask("DELETE", path("pods", namespace, name), body)

    async def _ask(self, *words: Any, **more: Any) -> None:
        """Make a request about a pod that may be gone; in a thread, so that none is cut in the middle."""
        try:
            await asyncio.to_thread(self.admin.request, *words, **more)
        except ApiError as error:
            if error.code not in _GONE:
                raise

    def _source_event(self, kind: str) -> Callable[[str, Object], Awaitable[None]]:
        async def told(event: str, it: Object) -> None:
            namespace, name = it["metadata"]["namespace"], it["metadata"]["name"]
            for pod in list(self.pods.values()):
                if event != "DELETED" and pod.namespace == namespace and (kind, name) in pod.volumes.sources():
                    await pod.refresh()

        return told
