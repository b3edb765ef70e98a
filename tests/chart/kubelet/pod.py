"""One pod from its binding to its end, in the order of a kubelet.

Init containers one after another, native sidecars until they have started, then the apps; at the deletion the apps'
preStop hooks, SIGTERM to the apps, and when the last of them has ended SIGTERM to the sidecars, the last one first;
SIGKILL when the grace period is over. It decides nothing about seats, and never finishes a pod that nobody deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.chart.kubelet import images
from tests.chart.kubelet.container import Container, Launch, Mount
from tests.chart.kubelet.environment import NotYetError, expand, variables
from tests.chart.kubelet.probes import Prober
from tests.chart.kubelet.status import Life, Object, pod_status
from tests.chart.kubelet.volumes import Volumes

if TYPE_CHECKING:
    from tests.chart.kubelet.kubelet import Kubelet
    from tests.chart.kubelet.network import Namespace

_AGAIN: Final = 0.3
_BACK_OFF: Final = (0.0, 1.0, 2.0, 5.0)
"""Seconds before the restarts; a kubelet waits 10 s before the second and doubles."""
_LEAST: Final = 2.0
"""Seconds that a sidecar gets between SIGTERM and SIGKILL, even if the apps used up the grace period."""
_DEFAULT_GRACE: Final = 30


class Pod:
    """One pod; ``live`` returns when nothing of it runs any more."""

    def __init__(self, kubelet: Kubelet, it: Object, folder: Path) -> None:
        self.object = it
        self.namespace: str = it["metadata"]["namespace"]
        self.name: str = it["metadata"]["name"]
        self.uid: str = it["metadata"]["uid"]
        self.folder = folder
        spec = it["spec"]
        self.lives = [
            Life(one, "sidecar" if one.get("restartPolicy") == "Always" else "init")
            for one in spec.get("initContainers", ())
        ] + [Life(one, "app") for one in spec["containers"]]
        self.volumes = Volumes(it, folder / "volumes", kubelet.claims, self._fetch, self._token)
        self.deleted = asyncio.Event()
        self.grace: float = spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE)
        self.address = ""
        self._kubelet = kubelet
        self._phase = "Pending"
        self._stopping = self._silent = self._mounted_all = False
        self._network: Namespace | None = None
        self._told: Object = dict(it.get("status") or {})
        self._telling = asyncio.Lock()

    def life(self, container: str) -> Life:
        """Return a container by name."""
        return next(it for it in self.lives if it.name == container)

    def log(self, container: str) -> Path:
        """Return the file of a container's output."""
        return self._kubelet.logs / f"{self.namespace}_{self.name}_{container}.log"

    def delete(self, grace: float) -> None:
        """Begin the end."""
        self.grace = grace
        self.deleted.set()

    def kill(self) -> None:
        """End every process without a word, as a power cut does; nothing is told, nothing is started again."""
        self._stopping = self._silent = True
        for life in self.lives:
            if life.process is not None:
                life.process.signal(signal.SIGKILL)

    def see(self, it: Object) -> None:
        """Take note of what others wrote into the pod's status, such as the mark of an eviction."""
        conditions = {one["type"]: one for one in it.get("status", {}).get("conditions", ())}
        conditions |= {one["type"]: one for one in self._told.get("conditions", ())}
        self._told = {**self._told, "conditions": list(conditions.values())}

    async def refresh(self) -> None:
        """Bring the volumes to what their sources say by now, if the pod has any."""
        if self._mounted_all and not self.deleted.is_set():
            with contextlib.suppress(NotYetError):
                await asyncio.to_thread(self.volumes.write)

    async def live(self) -> None:
        """Live, end when it is deleted, and leave nothing behind but what was logged."""
        work = asyncio.create_task(self._work())
        deletion = asyncio.create_task(self.deleted.wait())
        try:
            done, _ = await asyncio.wait((work, deletion), return_when=asyncio.FIRST_COMPLETED)
            if work in done:
                work.result()
                await deletion
            await self._terminate()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        finally:
            for task in (work, deletion):
                task.cancel()
            for life in self.lives:
                if life.process is not None:
                    life.process.signal(signal.SIGKILL)
                    await life.process.wait()
            if self._network is not None:
                self._network.close()
            self._kubelet.services.forget(self.folder / "hosts")
            shutil.rmtree(self.folder, ignore_errors=True)

    async def tell(self) -> None:
        """Report the status; one report after another, so that none overtakes a later one."""
        async with self._telling:
            if self._silent:
                return
            self._told = pod_status(self.lives, self._phase, self.address, self._told)
            await self._kubelet.report(self, self._told)

    # --- the beginning ------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        self._network, self.address = self._kubelet.node.attach()
        self.object["status"] = {**self._told, "podIP": self.address, "hostIP": "127.0.0.1"}
        self.folder.mkdir(parents=True)
        self._kubelet.services.hosts(self.folder / "hosts", self.namespace)
        await self._until_mounted()
        async with asyncio.TaskGroup() as group:
            sidecars = []
            for life in self.lives:
                match life.kind:
                    case "init":
                        await self._to_completion(life)
                        if life.code:
                            await self._finish("Failed", sidecars)
                            return
                    case "sidecar":
                        sidecars.append(group.create_task(self._supervise(life)))
                        while not life.started:
                            await asyncio.sleep(0.02)
            self._phase = "Running"
            apps = [group.create_task(self._supervise(life)) for life in self.lives if life.kind == "app"]
            await asyncio.wait(apps)
            if not self._stopping:
                codes = [life.code for life in self.lives if life.kind == "app"]
                await self._finish("Failed" if any(codes) else "Succeeded", sidecars)

    async def _until_mounted(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.volumes.write)
            except NotYetError as reason:
                for life in self.lives:
                    life.wait("ContainerCreating", str(reason))
                await self.tell()
                await asyncio.sleep(_AGAIN)
            else:
                self._mounted_all = True
                return

    async def _to_completion(self, life: Life) -> None:
        while True:
            await self._once(life)
            if life.code == 0 or self._policy == "Never" or self._stopping:
                return
            await self._back_off(life)

    async def _supervise(self, life: Life) -> None:
        policy = "Always" if life.kind == "sidecar" else self._policy
        while not self._stopping:
            await self._once(life)
            if self._stopping or policy == "Never" or (policy == "OnFailure" and life.code == 0):
                return
            await self._back_off(life)

    async def _back_off(self, life: Life) -> None:
        pause = _BACK_OFF[min(life.restarts, len(_BACK_OFF) - 1)]
        life.again()
        if pause:
            life.wait("CrashLoopBackOff", f"back-off {pause:g}s")
            await self.tell()
            await asyncio.sleep(pause)

    async def _once(self, life: Life) -> None:
        """Run a container until it ends."""
        while True:
            try:
                launch = await asyncio.to_thread(self._launch, life)
                break
            except NotYetError as reason:
                life.wait("CreateContainerConfigError", str(reason))
                await self.tell()
                await asyncio.sleep(_AGAIN)
        process = life.process = Container(launch)
        await process.begin()
        prober = Prober(self._kubelet.node, self.address, life.spec, process)
        if life.process is process:  # it may have been told to end already
            life.run(self.uid, process, prober)
        await self.tell()
        probing = asyncio.create_task(self._probe(life, process, prober))
        try:
            code = await process.wait()
        finally:
            probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probing
        if life.process is process:
            life.end(code)
        await self.tell()

    async def _probe(self, life: Life, process: Container, prober: Prober) -> None:
        if not await prober.until_started():
            await self._replace(life, process, f"startup probe: {prober.last}")
            return
        life.started = True
        if "readinessProbe" not in life.spec:
            life.ready = True
        await self.tell()

        async def ready(value: bool) -> None:
            life.ready = value
            await self.tell()

        async def alive(value: bool) -> None:
            if not value and not self._stopping:
                await self._replace(life, process, f"liveness probe: {prober.last}")

        watches: list[Coroutine[Any, Any, None]] = []
        if "readinessProbe" in life.spec:
            watches.append(prober.watch("readinessProbe", ready))
        if "livenessProbe" in life.spec:
            watches.append(prober.watch("livenessProbe", alive))
        await asyncio.gather(*watches)

    async def _replace(self, life: Life, process: Container, why: str) -> None:
        """End a container whose probe failed; it is started again as after any other end."""
        self._kubelet.note(self, f"{life.name} is restarted: {why}")
        await self._end(life, process, time.monotonic() + self.grace)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def _finish(self, phase: str, sidecars: list[asyncio.Task[None]]) -> None:
        """End the sidecars after apps that have ended for good, and give the pod its last phase."""
        self._stopping = True
        for life in reversed([it for it in self.lives if it.kind == "sidecar"]):
            if life.process is not None:
                await self._end(life, life.process, time.monotonic() + self.grace, hook=False)
        for task in sidecars:
            await task
        self._phase = phase
        await self.tell()

    async def _terminate(self) -> None:
        self._stopping = True
        deadline = time.monotonic() + self.grace
        running = [(it, it.process) for it in self.lives if it.process is not None]
        first = [self._end(life, process, deadline) for life, process in running if life.kind != "sidecar"]
        await asyncio.gather(*first)
        for life, process in reversed(running):
            if life.kind == "sidecar":
                await self._end(life, process, max(deadline, time.monotonic() + _LEAST))
        if self._phase == "Running":
            self._phase = "Failed" if any(it.code for it in self.lives if it.kind == "app") else "Succeeded"

    async def _end(self, life: Life, process: Container, deadline: float, *, hook: bool = True) -> None:
        action = life.spec.get("lifecycle", {}).get("preStop") if hook else None
        if action and life.prober is not None:
            left = deadline - time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await life.prober.ask({**action, "timeoutSeconds": left})
        process.signal(signal.SIGTERM)
        if not await process.ends_within(deadline - time.monotonic()):
            self._kubelet.note(self, f"{life.name} had to be killed")
            process.signal(signal.SIGKILL)
        code = await process.wait()
        self._kubelet.note(self, f"{life.name} has ended with {code}")
        if life.process is process:
            life.end(code)

    # --- what a container is made of ----------------------------------------------------------------------------------

    @property
    def _policy(self) -> str:
        return str(self.object["spec"].get("restartPolicy", "Always"))

    def _launch(self, life: Life) -> Launch:
        image = images.find(life.spec["image"])
        if image is None:
            raise NotYetError(f"ErrImagePull: there is no image {life.spec['image']}")
        security = {**self.object["spec"].get("securityContext", {}), **life.spec.get("securityContext", {})}
        user = security.get("runAsUser", image.user)
        if security.get("runAsNonRoot") and user == 0:
            raise NotYetError("container has runAsNonRoot and image will run as root")
        given = {**dict(image.environment), **self._kubelet.environment, "HOSTNAME": self.name}
        told = variables(self.object, life.spec, self._fetch, given)
        assert self._network is not None
        return Launch(
            command=[expand(word, told) for word in images.command(image, life.spec)],
            environment=told,
            mounts=[
                Mount(self._mounted(it), it["mountPath"], bool(it.get("readOnly")))
                for it in life.spec.get("volumeMounts", ())
            ],
            user=user,
            group=security.get("runAsGroup", user),
            read_only_root=bool(security.get("readOnlyRootFilesystem")),
            network=self._network,
            hosts=self.folder / "hosts",
            root=self.folder / "roots" / life.name,
            log=self.log(life.name),
        )

    def _mounted(self, mount: Object) -> Path:
        place = self.volumes.place(mount["name"])
        return place / mount["subPath"] if mount.get("subPath") else place

    def _fetch(self, kind: str, name: str) -> Object | None:
        return self._kubelet.admin.find(kind, name, self.namespace)

    def _token(self, wanted: Object) -> str:
        account = self.object["spec"].get("serviceAccountName", "default")
        return self._kubelet.admin.token(self.namespace, account, wanted.get("expirationSeconds", 3600), self.name)
