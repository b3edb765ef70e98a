"""What makes seats leak elsewhere: sudden death, a full key, a lost answer; and the end, at which nothing is left.

Each scene goes on where the one before it ended, checks every step against the server's own count, and returns the
figure that the summary shows.
"""

from __future__ import annotations

import time
from signal import SIGKILL, SIGTERM

from mock_activation.demo.actors import LEASE
from mock_activation.demo.cast import Cast


def die(cast: Cast) -> str:
    """Kill without a word; the next start of the same pod adopts the seat, or another pod reclaims it."""
    screen, server, pod, other = cast.screen, cast.server, cast.one, cast.two
    deployment = pod.app.deployment_id
    pod.start_sidecar()
    cast.ready(pod)
    cast.stage.until(
        "a seat record that is not open", pod.sidecar.record, lambda it: it.get("open") is False, of=pod.processes
    )
    killed = time.time()
    pod.sidecar.process.send(SIGKILL)
    pod.sidecar.process.wait(5.0)
    screen.doing("started again; then the sidecar alone is killed, and started once more")
    pod.start_sidecar()
    cast.ready(pod)
    released = [entry for entry in server.journal("deactivation", deployment) if entry["at"] >= killed]
    cast.stage.check("no release in between", holds=not released, seen=released, of=pod.processes)
    cast.seats(cast.key_a, deployment)
    screen.seen("it found its own seat record and adopted the seat, which was never given back in between")
    pod.kill()
    screen.doing("now sidecar and app are killed: nobody is left to give the seat back")
    cast.seats(cast.key_a, deployment)
    screen.seen("the seat of the dead is still taken on the server, and would be for ever")
    cast.draw(cast.key_a)
    began = time.monotonic()
    other.start_app()
    mine = cast.app_up(other)
    other.start_sidecar()
    answer = cast.stage.until(
        f"{other.name} in the state waiting, because the seat's owner is gone",
        lambda: (other.sidecar.status()["state"], other.sidecar.ready()),
        lambda seen: seen[0] == "waiting",
        of=other.processes,
    )[1]
    screen.seen(f"{other.name} starts and must wait. /readyz: {answer.status}, {answer.line}")
    cast.ready(other)
    took = time.monotonic() - began
    cast.seats(cast.key_a, mine)
    cast.reclaimed(other, 1)
    screen.seen(f"after a lease of silence ({LEASE:g} s here) it reclaimed the orphan's seat and took its own")
    cast.draw(cast.key_a)
    return f"{other.name} ready {took:.1f} s after its start (lease: {LEASE:g} s)"


def fill(cast: Cast) -> str:
    """Refuse a pod for want of seats; everybody sees why, nobody is robbed, and a new key helps."""
    screen, holder, pod = cast.screen, cast.two, cast.three
    held = holder.app.deployment_id
    pod.start_app()
    mine = cast.app_up(pod)
    pod.start_sidecar()
    words = cast.stage.until(
        "a refusal in /status",
        lambda: pod.sidecar.status()["last_errors"].get("refusal", {}),
        lambda refusal: refusal.get("reason") == "no_seats",
        of=pod.processes,
    )["text"]
    answer = cast.unready(pod)
    cast.stage.check("the server's words in /readyz", holds=words in answer.line, seen=answer.line, of=pod.processes)
    screen.seen(f"{pod.name} starts and is refused. /readyz: {answer.status}, {answer.line}")
    cast.ready(holder)
    cast.seats(cast.key_a, held)
    screen.seen(f"{holder.name} lives: it keeps its seat and stays ready")
    cast.draw(cast.key_a)
    began = time.monotonic()
    pod.put_key(cast.key_b)
    screen.doing(f"the key file of {pod.name} is replaced: key {cast.key_b.fingerprint}, which allows one seat, too")
    cast.ready(pod)
    took = time.monotonic() - began
    cast.seats(cast.key_b, mine)
    screen.seen(f"activated under the new key {took:.1f} s later (the file is read every 5 s), nothing was restarted")
    cast.draw(cast.key_b)
    return f"ready {took:.1f} s after the key file was replaced"


def lose_answer(cast: Cast) -> str:
    """Give back a seat of which nobody ever heard."""
    screen, server, other, pod = cast.screen, cast.server, cast.two, cast.three
    server.misbehave(fault="lost-answer", operation="activation")
    old = pod.app.deployment_id
    screen.doing("from now on no answer to an activation arrives; the app restarts under another ID")
    pod.app.tell("restart", down=0.1, abrupt=True)
    new = cast.stage.until(
        "another deployment ID", lambda: pod.app.deployment_id, lambda it: it != old, of=pod.processes
    )
    cast.seats(cast.key_b, new)
    cast.stage.until(
        "a seat record that says: asked, not answered",
        pod.sidecar.record,
        lambda record: record.get("deployment_id") == new and record.get("open") is True,
        of=pod.processes,
    )
    screen.seen("the server counts a seat for the new ID; the sidecar was not told, but has it in its record")
    cast.draw(cast.key_b)
    stopped = time.monotonic()
    took = cast.stop(pod)
    cast.seats(cast.key_b)
    screen.seen(f"SIGTERM: it gives back what it may have; the seat is free {took * 1000:.0f} ms later")
    cast.draw(cast.key_b)
    screen.doing("the lost request could still take effect late, so the record is handed over for a second look")
    cast.reclaimed(other, 2)
    cast.stage.until(
        "its record erased", lambda: cast.records(new), lambda names: not names, of=[other.sidecar.process]
    )
    late = time.monotonic() - stopped
    cast.seats(cast.key_b)
    screen.seen(f"{other.name} has released it once more, later than any late request, and erased the record")
    server.behave()
    return f"seat free {took * 1000:.0f} ms after SIGTERM, its record erased after {late:.1f} s"


def leave(cast: Cast) -> str:
    """End all pods."""
    pods = [pod for pod in cast.pods if pod.runs]
    for pod in pods:
        pod.sidecar.process.send(SIGTERM)
    cast.ended(pods)
    for key in (cast.key_a, cast.key_b):
        cast.seats(key)
    cast.no_records()
    cast.screen.seen("the last sidecars were ended: 0 seats on the server, 0 records in the ledger")
    cast.draw(cast.key_a)
    cast.draw(cast.key_b)
    return "0 seats, 0 records"
