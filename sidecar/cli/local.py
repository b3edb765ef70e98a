"""One GET to the sidecar of this pod, for ``probe``, ``wait`` and ``status``.

Uses ``http.client`` only: these commands run every few seconds, and httpx or asyncio would cost ten times as much. No
proxy is ever asked.
"""

from __future__ import annotations

import http.client
import os
from argparse import ArgumentParser, ArgumentTypeError
from typing import Final, NamedTuple

from sidecar.durations import parse_duration

DEFAULT_PORT: Final = 9480
PORT_VARIABLE: Final = "LICENSE_SIDECAR_HTTP_PORT"
_HOSTS: Final = ("127.0.0.1", "::1")
_LARGEST_ANSWER: Final = 4 * 1024 * 1024
_HIGHEST_PORT: Final = 65535


class Answer(NamedTuple):
    """Status code and text of an answer."""

    status: int
    text: str

    @property
    def ok(self) -> bool:
        """Tell whether the answer is 200."""
        return self.status == http.client.OK


class Unreachable(Exception):  # noqa: N818 - a state of the sidecar, said in one word
    """Nothing that speaks HTTP answered; the text is a sentence for people."""


def get(port: int, path: str, within: float) -> Answer:
    """Return the sidecar's answer, by IPv4, then by IPv6; raises ``Unreachable``. ``within`` is seconds per step."""
    problems = []
    for host in _HOSTS:
        connection = http.client.HTTPConnection(host, port, timeout=within)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return Answer(response.status, response.read(_LARGEST_ANSWER).decode(errors="replace"))
        except TimeoutError:
            problems.append(f"no answer within {within:g} s")
        except http.client.HTTPException:
            problems.append("what listens there does not speak HTTP")
        except OSError as error:
            problems.append(error.strerror or "connection failed")
        finally:
            connection.close()
    message = f"no sidecar answers on port {port} of this host: {problems[0]}"
    raise Unreachable(message)


def add_port(parser: ArgumentParser) -> None:
    """Give a command the options ``--port`` and ``--within``."""
    parser.add_argument(
        "--port",
        type=_port,
        default=_default_port(),
        metavar="N",
        help=f"port of the sidecar (default: {PORT_VARIABLE}, else {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--within", type=duration, default=2.0, metavar="DURATION", help="how long to wait for one answer (default 2s)"
    )


def duration(text: str) -> float:
    """Read a duration for ``argparse``."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _default_port() -> int:
    # A Service called license-sidecar-http makes Kubernetes write tcp://10.0.0.1:9480 into this very variable.
    text = os.environ.get(PORT_VARIABLE, "").strip()
    return int(text) if _is_port(text) else DEFAULT_PORT


def _port(text: str) -> int:
    if not _is_port(text):
        message = f"a port is a number of 1 to {_HIGHEST_PORT}"
        raise ArgumentTypeError(message)
    return int(text)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= _HIGHEST_PORT
