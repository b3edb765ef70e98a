"""Show what the running sidecar does: its state, its seat, the last errors, what it waits for and until when.

Exit codes: 0 shown, 64 wrong usage, 69 nobody answers, 78 --config cannot be read.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any, Final

from sidecar.cli.local import Unreachable, add_port, get, port_of
from sidecar.cli.table import aligned
from sidecar.exit_codes import DONE, UNREACHABLE

_YEAR_2001: Final = 1e9


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--output", choices=("table", "json"), default="table", help="table for a person (default), json for a program"
    )
    add_port(parser)


def run(arguments: Namespace) -> int:
    """Print the status."""
    port = port_of(arguments)
    try:
        answer = get(port, "/status", arguments.within)
    except Unreachable as error:
        sys.stderr.write(f"{error}\n")
        return UNREACHABLE
    try:
        status = json.loads(answer.text) if answer.ok else None
    except ValueError:
        status = None
    if not isinstance(status, dict):
        sys.stderr.write(f"what answers on port {port} is no sidecar: status {answer.status}, no status object\n")
        return UNREACHABLE
    if arguments.output == "json":
        sys.stdout.write(json.dumps(status, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(aligned(list(rows(status, time.time()))))
    return DONE


def rows(status: dict[str, Any], now: float, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (name, value) for each value of a nested object; ``now`` (epoch seconds) tells the age of times."""
    for name, value in status.items():
        yield from _rows_of(f"{prefix}{name}", value, now)


def _rows_of(name: str, value: Any, now: float) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        yield from rows(value, now, f"{name}.")
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for count, each in enumerate(value, 1):
            yield from _rows_of(f"{name}.{count}", each, now)
    else:
        yield name, _shown(name, value, now)


def _shown(name: str, value: Any, now: float) -> str:
    match value:
        case None | "" | [] | {}:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(str(each) for each in value)
        case int() | float() if name.endswith("_at") and value > _YEAR_2001:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value))
            away = now - value
            return f"{stamp} ({abs(away):.0f} s {'ago' if away >= 0 else 'from now'})"
        case float():
            return f"{value:g}" if abs(value) < _YEAR_2001 else f"{value:.0f}"
        case _:
            return str(value)
