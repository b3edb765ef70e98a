"""What disturbs a fleet in a cluster: every end that a pod can have, and restarts that are no end."""

from __future__ import annotations

import asyncio
from random import Random

from tests.simulation.cluster import Cluster, KubePod


async def disturb(cluster: Cluster, pod: KubePod, random: Random) -> KubePod:
    """Let one thing happen to a pod; return it, or the one that is created in its place at once.

    A StatefulSet gives the name again, once the old object is gone; a Deployment does not wait.
    """
    match random.randrange(10):
        case 0 | 1:
            await pod.crash_app(25 * random.random() ** 2)
            return pod
        case 2:
            await pod.restart_sidecar(killed=False, pause=5 * random.random())
            return pod
        case 3:
            await pod.restart_sidecar(killed=True, pause=5 * random.random())
            return pod
        case 4:
            pod.app.silent = True  # its port hangs, its container runs (rule 17)
            await asyncio.sleep(120 * random.random())
            pod.app.silent = False
            return pod
        case 5:
            await cluster.claim(pod)
            return pod
        case 6:
            cluster.soon(pod.delete(graceful=True))
        case 7:
            if random.random() < 0.5:
                await pod.delete(graceful=True)
                return born(cluster, random, pod.name)
            cluster.soon(pod.delete(graceful=False))
            return born(cluster, random, pod.name if random.random() < 0.5 else None)
        case 8:
            cluster.soon(pod.evict(hard=random.random() < 0.5))
        case _:
            cluster.soon(pod.lose_node())
    return born(cluster, random, None)


def born(cluster: Cluster, random: Random, name: str | None) -> KubePod:
    """Create and start the next pod."""
    pod = cluster.pod(name or f"icap-{cluster.born}", late=120.0)
    pod.app.keeps_id = random.random() < 0.2
    if pod.app.keeps_id:
        pod.app.pod = name or pod.name  # its disk belongs to the name, as a StatefulSet's does
    pod.start()
    return pod
