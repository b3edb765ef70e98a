"""The ordinary life of a seat: taken, kept, given back after a crash of the app, given back at the end.

Each scene goes on where the one before it ended, checks every step against the server's own count, and returns the
figure that the summary shows.
"""

from __future__ import annotations

import time
from signal import SIGKILL
from typing import Final

from mock_activation.demo.cast import Cast

_SLOW: Final = 0.6
"""Seconds for which the server keeps the first request, so that one sees what is there before the seat is."""


def take(cast: Cast) -> str:
    """Show that a seat is written down, asked for, and its licence delivered."""
    screen, server, pod = cast.screen, cast.server, cast.one
    cast.stage.until("the activation server listens", lambda: server.url, of=[server.process])
    screen.seen(f"activation server (mock) at {server.url}; key {cast.key_a.fingerprint} allows one seat")
    pod.start_app()
    deployment = cast.app_up(pod)
    cast.stage.check("no licence yet", holds=not pod.app.licensed, seen="licensed", of=pod.processes)
    screen.seen(f"{pod.name}: the app runs under a new deployment ID, {deployment}, without a licence")
    server.misbehave(fault="delay", operation="activation", seconds=_SLOW, times=1)
    began = time.monotonic()
    pod.start_sidecar()
    cast.stage.until(
        "a seat record while the server, which is asked already, counts no seat",
        lambda: (pod.sidecar.record(), server.taken(cast.key_a)),
        lambda seen: seen[0].get("open") is True and seen[1] == [],
        of=pod.processes,
    )
    screen.seen("the sidecar has written its seat record and asks; the server (slow on purpose) counts 0 seats still")
    cast.ready(pod)
    took = time.monotonic() - began - _SLOW
    cast.seats(cast.key_a, deployment)
    screen.seen("the seat is taken, the licence delivered to the app, /readyz answers 200")
    cast.draw(cast.key_a)
    return f"ready {took:.2f} s after the start of the sidecar's process"


def keep(cast: Cast) -> str:
    """Show that the record is renewed, the app watched, and a lost licence delivered again."""
    screen, server, pod = cast.screen, cast.server, cast.one
    asked = len(server.journal())
    before = {check: pod.sidecar.metric("heartbeat_attempts_total", check=check) for check in ("record", "app")}
    cast.stage.until(
        "two more renewals of the record and two more looks at the app, in /metrics",
        lambda: {check: pod.sidecar.metric("heartbeat_attempts_total", check=check) for check in before},
        lambda now: all(now[check] >= count + 2 for check, count in before.items()),
        of=pod.processes,
    )
    requests = len(server.journal()) - asked
    cast.stage.check("no request to the activation server", holds=requests == 0, seen=requests, of=pod.processes)
    screen.seen("/metrics: the record was renewed twice, the app asked twice; the activation server was not asked")
    lost = time.monotonic()
    pod.app.tell("lose-license")
    screen.doing("the app is made to lose its licence")
    cast.stage.until("the app licensed again", lambda: pod.app.licensed, of=pod.processes)
    took = time.monotonic() - lost
    cast.ready(pod)
    cast.seats(cast.key_a, pod.app.deployment_id)
    screen.seen(f"the licence was delivered again {took:.2f} s later; it is still one seat, the same one")
    cast.draw(cast.key_a)
    return f"a lost licence was back after {took:.2f} s"


def crash(cast: Cast) -> str:
    """Kill the app; its seat is given back, and the new deployment ID gets one."""
    screen, pod = cast.screen, cast.one
    old, died = pod.app.deployment_id, time.time()
    pod.app.process.send(SIGKILL)
    pod.app.process.wait(5.0)
    screen.doing("the app is killed, as the kernel does when memory runs out")
    freed = cast.freed(old, died, of=[pod.sidecar.process])
    answer = cast.unready(pod)
    cast.seats(cast.key_a)
    screen.seen(f"its seat is free {freed:.2f} s later (0.5 s of patience included)")
    screen.seen(f"/readyz: {answer.status}, {answer.line}")
    cast.draw(cast.key_a)
    began = time.monotonic()
    pod.start_app()
    new = cast.app_up(pod)
    cast.stage.check("another deployment ID", holds=new != old, seen="the same one", of=pod.processes)
    cast.ready(pod)
    took = time.monotonic() - began
    cast.seats(cast.key_a, new)
    screen.seen(f"restarted, it has another ID, {new}: activated, licensed, ready after {took:.2f} s")
    cast.draw(cast.key_a)
    return f"seat free after {freed:.2f} s, ready {took:.2f} s after the restart"


def terminate(cast: Cast) -> str:
    """Tell the sidecar to end; it gives the seat back."""
    pod = cast.one
    took = cast.stop(pod)
    cast.no_records()
    cast.screen.seen(f"the seat is free {took * 1000:.0f} ms after SIGTERM; exit code 0, no seat record is left")
    cast.draw(cast.key_a)
    return f"seat free {took * 1000:.0f} ms after SIGTERM"
