"""What the demo tells a person who wants to look around alone (``--interactive``), and how that ends."""

from __future__ import annotations

from signal import SIGTERM
from typing import Final

from mock_activation.demo.cast import Cast

_PATIENCE: Final = 12.0
"""Seconds; a little more than the sidecars' own budget for a shutdown."""


def invitation(cast: Cast) -> list[str]:
    """Return the addresses of what runs, and what to try."""
    server, control = cast.server.url, cast.server.control
    two, three = cast.two, cast.three
    app, mine = two.app.control, two.sidecar
    addresses = [("activation server", server), ("  its control port", f"{control}/")]
    for pod in (two, three):
        addresses += [
            (f"{pod.name} sidecar", f"{pod.sidecar.url}  (/startupz /readyz /livez /status /metrics)"),
            (f"{pod.name} app", f"{pod.app.url}  (REST API)"),
            ("  its control port", f"{pod.app.control}/"),
        ]
    addresses.append(("ledger", str(cast.ledger)))
    lost = '{"fault": "lost-answer"}'
    tries = [
        ("May traffic come, and why not?", f"curl -s '{mine.url}/readyz?verbose'"),
        ("What the sidecar knows", f"license-sidecar status --port {mine.url.rpartition(':')[2]}"),
        ("What the server counts, and was asked", f"curl -s {control}/state; curl -s {control}/journal"),
        ("All seat records", f"license-sidecar list --ledger-dir {cast.ledger}"),
        ("The app loses its licence", f"curl -sX POST {app}/lose-license"),
        ("It restarts under another ID", f"curl -sX POST {app}/restart"),
        ("It hangs, and recovers", f"curl -sX POST {app}/hang; sleep 5; curl -sX POST {app}/unhang"),
        ("Answers of the server get lost", f"curl -sX POST {control}/faults -d '{lost}'"),
        ("They do no more", f"curl -sX DELETE {control}/faults"),
        ("A sidecar is told to end", f"kill {mine.process.pid}"),
        ("A pod dies; the other one reclaims", f"kill -9 {three.sidecar.process.pid} {three.app.process.pid}"),
        ("The logs", f"tail -f {mine.process.log} {three.sidecar.process.log}"),
    ]
    width = max(len(name) for name, _value in addresses)
    lines = ["", "All of it runs now, until Ctrl-C.", ""]
    lines += [f"  {name:<{width}}  {value}" for name, value in addresses]
    lines += ["", "To try, in another terminal:", ""]
    for what, command in tries:
        lines += [f"  # {what}", f"  {command}"]
    return [*lines, ""]


def part(cast: Cast) -> None:
    """End the sidecars that still run, and tell what the server counts then; whatever the visitor did is no fault."""
    pods = [pod for pod in cast.pods if pod.runs]
    for pod in pods:
        pod.sidecar.process.send(SIGTERM)
    for pod in pods:
        code = pod.sidecar.process.wait(_PATIENCE)
        cast.screen.doing(f"{pod.sidecar.process.name}: " + ("does not end" if code is None else f"exit code {code}"))
    cast.draw(cast.key_a)
    cast.draw(cast.key_b)
