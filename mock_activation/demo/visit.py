"""What the demo tells a person who wants to look around alone (``--interactive``), and how that ends."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from signal import SIGTERM
from typing import Final

from mock_activation.demo.actors import Pod
from mock_activation.demo.cast import Cast

_PATIENCE: Final = 12.0
"""Seconds; a little more than the sidecars' own budget for a shutdown."""
_GLANCE: Final = 0.1


def visit(cast: Cast) -> None:
    """Leave everything running until somebody says stop, then end the sidecars, so that one sees their seats go.

    A second wish to stop is not waited for. Raises ``UnmetError`` if a pod that was stopped does not come back.
    """
    pods = [pod for pod in cast.pods if pod.has_app]
    for pod in pods:
        if not pod.runs:
            pod.start_sidecar()
            cast.ready(pod)
    cast.screen.text(*_invitation(cast, pods))
    while not cast.stage.stops.wishes:
        cast.stage.show_news()
        time.sleep(_GLANCE)
    cast.screen.heading("Stopping: each sidecar gives its seat back.")
    _part(cast, pods)


def _invitation(cast: Cast, pods: list[Pod]) -> list[str]:
    """Return the addresses of what runs, and what to try."""
    server, control = cast.server.url, cast.server.control
    one, other = pods[0], pods[-1]
    app, mine = one.app.control, one.sidecar
    addresses = [("activation server", server), ("  its control port", f"{control}/")]
    for pod in pods:
        addresses += [
            (f"{pod.name} sidecar", f"{pod.sidecar.url}  (/startupz /readyz /livez /status /metrics)"),
            (f"{pod.name} app", f"{pod.app.url}  (REST API)"),
            ("  its control port", f"{pod.app.control}/"),
        ]
    addresses.append(("ledger", str(cast.ledger)))
    lost = '{"fault": "lost-answer"}'
    sidecar = _command("license-sidecar")
    tries = [
        ("May traffic come, and why not?", f"curl -s '{mine.url}/readyz?verbose'"),
        ("What the sidecar knows", f"{sidecar} status --port {mine.url.rpartition(':')[2]}"),
        ("What the server counts, and was asked", f"curl -s {control}/state; curl -s {control}/journal"),
        ("All seat records", f"{sidecar} list --config {one.settings}"),
        ("The app loses its licence", f"curl -sX POST {app}/lose-license"),
        ("It restarts under another ID", f"curl -sX POST {app}/restart"),
        ("It hangs, and recovers", f"curl -sX POST {app}/hang; sleep 5; curl -sX POST {app}/unhang"),
        ("Answers of the server get lost", f"curl -sX POST {control}/faults -d '{lost}'"),
        ("They do no more", f"curl -sX DELETE {control}/faults"),
        ("A sidecar is told to end", f"kill {mine.process.pid}"),
        (
            "A pod dies; another one, if there is one, reclaims",
            f"kill -9 {other.sidecar.process.pid} {other.app.process.pid}",
        ),
        ("The logs", f"tail -f {' '.join(str(pod.sidecar.process.log) for pod in pods)}"),
    ]
    width = max(len(name) for name, _value in addresses)
    lines = ["", "All of it runs now, until Ctrl-C.", ""]
    lines += [f"  {name:<{width}}  {value}" for name, value in addresses]
    lines += ["", "To try, in another terminal:", ""]
    for what, command in tries:
        lines += [f"  # {what}", f"  {command}"]
    return lines


def _command(name: str) -> str:
    """Return how a person calls a command that stands beside our interpreter, from the folder we were started in."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        return f"{shlex.quote(sys.executable)} -m sidecar"
    shown = os.path.relpath(path)
    return shlex.quote(str(path) if shown.startswith("..") else shown)


def _part(cast: Cast, pods: list[Pod]) -> None:
    """End the sidecars that still run, and tell what the server counts then; whatever the visitor did is no fault."""
    processes = [pod.sidecar.process for pod in pods if pod.runs]
    for process in processes:
        process.send(SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while any(process.exit_code is None for process in processes):
        if cast.stage.stops.wishes > 1 or time.monotonic() > deadline:
            break
        time.sleep(_GLANCE)
    cast.stage.show_news()
    for process in processes:
        code = process.exit_code
        cast.screen.doing(f"{process.name}: " + ("does not end" if code is None else f"exit code {code}"))
    if cast.server.process.exit_code is None:
        cast.draw(cast.key_a)
        cast.draw(cast.key_b)
