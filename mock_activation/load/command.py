"""``mock-activation load``: plays many clients against a mock on this machine, and checks its count.

Only loopback: pointed at the vendor's server it would use up somebody's seats. Keys come from a file only.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import math
import os
import random
import signal
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from mock_activation.exits import CONFIGURATION, DONE, MISCOUNTED, UNAVAILABLE
from mock_activation.fields import InputError
from mock_activation.key_input import read_key_file
from mock_activation.load.crew import Crew, Plan
from mock_activation.load.report import Progress, collect, table
from mock_activation.load.verdict import Verdict, compare, fetch_state
from mock_activation.many_connections import allow_many_connections

MOST_CLIENTS: Final = 20_000
MOST_REQUESTS: Final = 1_000_000_000
LONGEST: Final = 7 * 86_400.0

_EPILOG = """\
Each client takes a seat under a deployment ID of its own, and from then on asks for it again, or (--churn) gives it
back and takes another. At the end what the clients believe is compared with GET /state of the control port; then all
seats are given back, and it is compared again. What a fault of the mock left in doubt counts neither way.

exit codes: 0 every seat counted right, 1 some were not, 64 wrong options, 69 the server cannot be reached,
78 a file that cannot be used

  mock-activation serve --keys keys.yaml --ready-file ready.json &
  mock-activation load --keys keys.yaml --ready-file ready.json --clients 1000 --duration 30
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.description = "Play many clients against a mock activation server on this machine, and check its count."
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    where = parser.add_argument_group("where")
    where.add_argument("--keys", type=Path, metavar="FILE", required=True, help="the key file that the server has, too")
    where.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="read both addresses from what serve wrote there"
    )
    where.add_argument("--url", default="http://127.0.0.1:8480", help="the activation port (default %(default)s)")
    where.add_argument("--control-url", metavar="URL", default="http://127.0.0.1:8481", help="(default %(default)s)")
    where.add_argument("--control-token-file", type=Path, metavar="FILE", help="holds the control port's bearer token")
    where.add_argument("--ca-file", type=Path, metavar="FILE", help="trust this CA (GET /ca.pem), with an https URL")
    what = parser.add_argument_group("what")
    what.add_argument("--clients", type=_whole(MOST_CLIENTS), default=100, metavar="N", help="(default %(default)s)")
    what.add_argument("--rate", type=_rate, default=0.0, metavar="R", help="requests a second of all; max (default)")
    what.add_argument("--duration", type=_seconds, default=10.0, metavar="S", help="seconds at most (default 10)")
    what.add_argument("--requests", type=_whole(MOST_REQUESTS), default=0, metavar="N", help="end after so many")
    what.add_argument("--churn", type=_fraction, default=0.5, metavar="F", help="from 0 (nobody gives back) to 1 (0.5)")
    what.add_argument("--timeout", type=_seconds, default=10.0, metavar="S", help="for one answer (default 10)")
    what.add_argument("--seed", type=int, default=None, metavar="N", help="repeat the choices of another run")
    what.add_argument("--keep", action="store_true", help="leave the seats taken at the end")
    parser.add_argument("--output", choices=["text", "json"], default="text", help="(default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Play until it is over; return the exit code."""
    allow_many_connections()
    try:
        plan, control_url, token = _plan(arguments)
        data = asyncio.run(_play(plan, control_url, token, keep=arguments.keep))
    except InputError as error:
        for fault in error.faults:
            sys.stderr.write(f"mock-activation load: {fault}\n")
        return CONFIGURATION
    except OSError as error:
        cause = getattr(error, "reason", error)  # urllib wraps what happened
        reason = getattr(cause, "strerror", None) or str(cause) or "no answer in time"
        sys.stderr.write(f"mock-activation load: the server cannot be reached: {reason}\n")
        return UNAVAILABLE
    data["seed"] = plan.seed
    sys.stdout.write(json.dumps(data, indent=2) + "\n" if arguments.output == "json" else table(data))
    if not any(one["done"] or one["refused"] for one in data["operations"].values()):
        sys.stderr.write("mock-activation load: there was not a single answer\n")
        return UNAVAILABLE
    return DONE if data["right"] else MISCOUNTED


def _plan(arguments: argparse.Namespace) -> tuple[Plan, str, str]:
    url, control_url = arguments.url, arguments.control_url
    if arguments.ready_file is not None:
        written = _read(arguments.ready_file)
        try:
            line = json.loads(written)
            url, control_url = str(line["url"]), str(line["control_url"])
        except (ValueError, TypeError, KeyError):
            raise InputError(f"{arguments.ready_file}: not the line of JSON that serve writes") from None
    keys = list(read_key_file(arguments.keys))
    if not keys:
        raise InputError(f"{arguments.keys}: there is no key in it")
    parts = _loopback("--url", url)
    _loopback("--control-url", control_url)
    tls = None
    if parts.scheme == "https":
        try:
            tls = ssl.create_default_context(cafile=arguments.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"{arguments.ca_file}: {error.strerror or 'no certificate'}") from None
    token = "" if arguments.control_token_file is None else _read(arguments.control_token_file).strip()
    return (
        Plan(
            url=parts,
            keys=keys,
            clients=arguments.clients,
            seconds=arguments.duration,
            churn=arguments.churn,
            rate=arguments.rate,
            requests=arguments.requests,
            timeout=arguments.timeout,
            seed=random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed,
            tls=tls,
        ),
        control_url.rstrip("/"),
        token,
    )


async def _play(plan: Plan, control_url: str, token: str, *, keep: bool) -> dict[str, Any]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    fetch_state(control_url, plan.timeout, token)  # before the load, so that a wrong address costs nothing
    progress = Progress(sys.stderr)
    crew = Crew(plan, os.urandom(4).hex(), progress.show)

    def judge() -> Verdict:
        # Blocking, while nothing else is to be done.
        state = fetch_state(control_url, max(plan.timeout, 60), token)
        return compare(state, crew.mark, crew.believed(), crew.in_doubt(), crew.may_come_late())

    async with crew:
        tally = await crew.play(stop)
        progress.end()
        held, home = judge(), None
        if not keep:
            await crew.give_back()
            progress.end()
            home = judge()
        return collect(crew, tally, held, home)


def _loopback(option: str, url: str) -> SplitResult:
    """Take a URL apart. Raises ``InputError`` if it does not point to this machine."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise InputError(f"{option}: not a URL") from None
    if parts.scheme not in (("http", "https") if option == "--url" else ("http",)) or parts.query or parts.fragment:
        raise InputError(f"{option}: a URL such as http://127.0.0.1:8480 is needed")
    local = host == "localhost"
    with suppress(ValueError):
        local = local or ipaddress.ip_address(host).is_loopback
    if not local:
        raise InputError(f"{option}: only addresses of this machine (127.0.0.1, ::1, localhost): load is for mocks")
    return parts._replace(path=parts.path.rstrip("/"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None


def _whole(most: int) -> Any:
    def number(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {most} is needed")

    return number


def _number(text: str, least: float, most: float, sentence: str) -> float:
    with suppress(ValueError):
        value = float(text)
        if math.isfinite(value) and least <= value <= most:
            return value
    raise argparse.ArgumentTypeError(sentence)


def _rate(text: str) -> float:
    return 0.0 if text == "max" else _number(text, 0.001, 1e6, "a number of requests a second, or max")


def _seconds(text: str) -> float:
    return _number(text, 0.01, LONGEST, f"a number of seconds from 0.01 to {LONGEST:.0f}")


def _fraction(text: str) -> float:
    return _number(text, 0.0, 1.0, "a number from 0 to 1")
