"""Ask the running sidecar one question and print its answer, one line of text.

  startup   the settings are right and it listens
  ready     the seat is ours and the app is licensed, or grace
  live      all of its own loops turn

Exit codes: 0 yes, 64 wrong usage, 69 no, or nobody answers, 78 --config cannot be read.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Final

from sidecar.cli.local import Unreachable, add_port, get, port_of
from sidecar.cli.table import plain
from sidecar.exit_codes import DONE, UNREACHABLE

PATHS: Final = {"startup": "/startupz", "ready": "/readyz", "live": "/livez"}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("question", choices=tuple(PATHS), metavar="startup|ready|live", help="what to ask")
    add_port(parser)


def run(arguments: Namespace) -> int:
    """Print the answer; return 0 only for a yes."""
    try:
        answer = get(port_of(arguments), PATHS[arguments.question], arguments.within)
    except Unreachable as error:
        sys.stderr.write(f"{error}\n")
        return UNREACHABLE
    sys.stdout.write(f"{plain(answer.text.strip())}\n")
    return DONE if answer.ok else UNREACHABLE
