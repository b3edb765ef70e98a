"""One GET to the sidecar of this pod, for ``probe``, ``wait`` and ``status``.

Uses ``http.client`` only: these commands run every few seconds, and httpx or asyncio would cost ten times as much. No
proxy is ever asked. Of the settings only the port counts; the settings' own modules are loaded only where it has to be
read from a file.
"""

from __future__ import annotations

import http.client
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Final, NamedTuple

from sidecar.durations import parse_duration

DEFAULT_PORT: Final = 9480
PORT_VARIABLE: Final = "LICENSE_SIDECAR_HTTP_PORT"
FILE_VARIABLE: Final = "LICENSE_SIDECAR_CONFIG"
_HOSTS: Final = ("127.0.0.1", "::1")
_LARGEST_ANSWER: Final = 4 * 1024 * 1024
_HIGHEST_PORT: Final = 65535
_NO_PORT: Final = f"a port is a number of 1 to {_HIGHEST_PORT}"
_SERVICE_LINKS: Final = ("tcp://", "udp://", "sctp://")


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
    message = f"no sidecar answers on port {port} of this host: {problems[0]} (another port: --http-port or --config)"
    raise Unreachable(message)


def add_port(parser: ArgumentParser) -> None:
    """Give a command the options that say where the sidecar listens, and ``--within``; see ``port_of``."""
    parser.add_argument(
        "--http-port",
        "--port",
        dest="port",
        type=_port,
        metavar="N",
        help=f"port of the sidecar (default: {PORT_VARIABLE}, else http.port of --config, else {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--config", metavar="FILE.yaml", help=f"the sidecar's file with settings (default: {FILE_VARIABLE})"
    )
    parser.set_defaults(refuse=parser.error)
    parser.add_argument(
        "--within", type=duration, default=2.0, metavar="DURATION", help="how long to wait for one answer (default 2s)"
    )


def port_of(arguments: Namespace) -> int:
    """Return the sidecar's port as ``run`` would find it: flag, environment, file, default.

    What is no port ends the program with exit code 64. Raises ``Misconfigured`` if the file cannot be read.
    """
    if arguments.port is not None:
        return int(arguments.port)
    text, origin = os.environ.get(PORT_VARIABLE, "").strip(), PORT_VARIABLE
    # A Service called license-sidecar-http makes Kubernetes write tcp://10.0.0.1:9480 into this very variable.
    if not text or text.lower().startswith(_SERVICE_LINKS):
        file = arguments.config or os.environ.get(FILE_VARIABLE)
        text, origin = _written_in(file) if file else ("", "")
    if text and not _is_port(text):
        arguments.refuse(f"http.port ({origin}): {_NO_PORT}; --http-port N names another")
    return int(text or DEFAULT_PORT)


def _written_in(file: str) -> tuple[str, str]:
    """Return the port in a file with settings, and where it stands; what else is wrong in there is told by ``run``."""
    from pathlib import Path  # noqa: PLC0415 - a probe without a file does without

    from sidecar.config.sources import Findings, from_file  # noqa: PLC0415 - the same
    from sidecar.errors import Misconfigured  # noqa: PLC0415 - the same

    findings = Findings()
    found = from_file(Path(file), findings)
    if not found and findings.faults:
        raise Misconfigured(*findings.faults)
    return (found["http.port"].text.strip(), found["http.port"].origin) if "http.port" in found else ("", "")


def duration(text: str) -> float:
    """Read a duration for ``argparse``; none at all is no duration."""
    seconds = duration_or_none(text)
    if seconds <= 0:
        message = "it must be longer than 0: write seconds, or 500ms, 15s, 5m"
        raise ArgumentTypeError(message)
    return seconds


def duration_or_none(text: str) -> float:
    """Read a duration for ``argparse`` that may be 0."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _port(text: str) -> int:
    if not _is_port(text):
        raise ArgumentTypeError(_NO_PORT)
    return int(text)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= _HIGHEST_PORT
