"""The command line of ``mock-activation``: finds the command, imports only that, and lets it run.

A command is a module with ``configure(parser)`` and ``run(arguments) -> int``.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from mock_activation import __version__
from mock_activation.exits import DONE, USAGE
from mock_activation.secrecy import mask

COMMANDS: Final = {
    "serve": ("mock_activation.serve", "the mock activation server"),
    "load": (
        "mock_activation.load.command",
        "many clients at once against a mock on this machine",
    ),
    "icap-app": ("mock_activation.icap_app", "a stand-in for ICAP Server: its REST API and its life"),
    "demo": ("mock_activation.demo", "watch a sidecar take, keep, give back, lose and reclaim a seat"),
}
_WIDTH: Final = max(map(len, COMMANDS)) + 2
_HELP: Final = (
    "usage: mock-activation [--help | --version] COMMAND [OPTIONS]\n\n"
    "Stand-ins for the vendor's activation server and for ICAP Server, for demos, tests and rehearsals.\n\n"
    "commands:\n"
    + "".join(f"  {name:<{_WIDTH}}{summary}\n" for name, (_module, summary) in COMMANDS.items())
    + "\n`mock-activation COMMAND --help` tells the options of a command.\n"
)


class _Parser(argparse.ArgumentParser):
    """Exits with 64, and shows no key that somebody typed as an argument."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {mask(message)}\n")


def run(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name; return its exit code."""
    match list(arguments):
        case []:
            sys.stderr.write(_HELP)
            return USAGE
        case ["-h" | "--help", *_]:
            sys.stdout.write(_HELP)
            return DONE
        case ["--version", *_]:
            sys.stdout.write(f"mock-activation {__version__}\n")
            return DONE
        case [name, *rest] if name in COMMANDS:
            module = importlib.import_module(COMMANDS[name][0])
            parser = _Parser(prog=f"mock-activation {name}", allow_abbrev=False)
            module.configure(parser)
            return int(module.run(parser.parse_args(rest)))
        case [name, *_]:
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            sys.stderr.write(f"mock-activation: there is no command {mask(name)!r}{hint}\n\n{_HELP}")
            return USAGE
    raise AssertionError  # pragma: no cover - a list is empty or has a first element
