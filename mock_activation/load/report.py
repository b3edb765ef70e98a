"""What a load run says: a line that moves while it goes on, a table for a person, JSON for a program."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Final, TextIO

from mock_activation.load import client
from mock_activation.load.client import Step
from mock_activation.load.crew import Crew, Tally
from mock_activation.load.verdict import Verdict

_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_WIDTH: Final = 24


class Progress:
    """A bar on a terminal; nothing at all elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        """Write to this stream."""
        self._stream = stream
        self._shown = stream.isatty()
        self._last = (time.monotonic(), 0)

    def show(self, crew: Crew) -> None:
        """Draw how far the run is."""
        if not self._shown:
            return
        tally, plan = crew.tally, crew.plan
        now, requests = time.monotonic(), tally.requests
        before, requests_before = self._last
        self._last = (now, requests)
        rate = (requests - requests_before) / max(now - before, 1e-9)
        done = max(tally.seconds / plan.seconds, requests / plan.requests if plan.requests else 0.0)
        filled = round(_WIDTH * min(done, 1.0))
        bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}]"
        self._stream.write(
            f"\r{bar} {min(done, 1.0):4.0%}  {requests:,} requests, {rate:,.0f}/s, {len(crew.believed()):,} seats\x1b[K"
        )
        self._stream.flush()

    def end(self) -> None:
        """Remove the bar."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def collect(crew: Crew, tally: Tally, held: Verdict | None, home: Verdict | None) -> dict[str, Any]:
    """Return everything as plain data; times in seconds."""
    return {
        "clients": crew.plan.clients,
        "keys": len(crew.plan.keys),
        "seconds": round(tally.seconds, 3),
        "requests": tally.requests,
        "rate": round(tally.requests / tally.seconds, 1) if tally.seconds else 0.0,
        "operations": {step.value: _operation(tally, step) for step in Step},
        "held": None if held is None else asdict(held),
        "given_back": None if home is None else asdict(home),
        "still_in_doubt": len(crew.in_doubt()),
        "right": all(verdict.is_right for verdict in (held, home) if verdict is not None)
        and not sum(tally.answers[step, client.Verdict.LOST] for step in Step),
        "checked": held is not None,
    }


def _operation(tally: Tally, step: Step) -> dict[str, Any]:
    latency = tally.latency[step]
    return {
        **{verdict.value: tally.answers[step, verdict] for verdict in client.Verdict},
        "rate": round(latency.count / tally.seconds, 1) if tally.seconds else 0.0,
        **{name: round(latency.quantile(fraction), 7) for name, fraction in _QUANTILES.items()},
        "max": round(latency.longest, 7),
    }


def table(data: dict[str, Any]) -> str:
    """Return the report for a person."""
    lines = [
        f"{data['requests']:,} requests, {data['clients']:,} clients, {data['seconds']:.1f} s, {data['rate']:,.0f}/s",
        "",
        f"{'':14}{'done':>11}{'refused':>9}{'failed':>8}{'/s':>9}{'p50':>10}{'p90':>10}{'p99':>10}{'max':>10}",
    ]
    for name, one in data["operations"].items():
        times = "".join(f"{one[which] * 1000:>7.1f} ms" for which in (*_QUANTILES, "max"))
        lines.append(f"{name:14}{one['done']:>11,}{one['refused']:>9,}{one['failed']:>8,}{one['rate']:>9,.0f}{times}")
    lines.append("")
    if not data["checked"]:
        lines.append("seats: not compared with the server's")
    for title, verdict in (("after the load", data["held"]), ("after giving all back", data["given_back"])):
        if verdict is not None:
            lines.append(f"seats {title}: {_seats(verdict)}")
    lost = sum(one["lost"] for one in data["operations"].values())
    if lost:
        lines.append(f"{lost:,} times the server knew nothing of a seat that it had granted")
    lines.append("every seat was counted right" if data["right"] and data["checked"] else "")
    if not data["right"]:
        lines[-1] = "SEATS WERE COUNTED WRONGLY"
    return "\n".join(lines).rstrip() + "\n"


def _seats(verdict: dict[str, int]) -> str:
    return (
        f"{verdict['believed']:,} believed, {verdict['in_doubt']:,} in doubt, {verdict['on_server']:,} on the server: "
        f"{verdict['lost']:,} lost, {verdict['twice']:,} counted twice, {verdict['miscounted']:,} keys miscounted"
        + (f", {verdict['late']:,} taken late" if verdict["late"] else "")
    )
