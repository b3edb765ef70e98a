"""The command line: finds the command's module, runs it, and turns what goes wrong into an exit code.

Each command is one module with ``configure(parser)`` and ``run(arguments) -> int`` that imports only what its command
needs; only the chosen one is imported, because a probe starts this program every few seconds. Therefore nothing heavy
may be imported in here, and ``argparse`` only reads one command at a time.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from sidecar import __version__
from sidecar.exit_codes import BUG, CONFIGURATION, DONE, REFUSED, UNREACHABLE, USAGE

PROGRAM: Final = "license-sidecar"
_INTERRUPTED: Final = 130


class Command(NamedTuple):
    """One command: ``module`` below ``sidecar.cli``, ``summary`` for the help."""

    module: str
    summary: str


_GROUPS: Final = {
    "In a pod": {
        "run": Command("run", "take a seat, keep it, give it back; reclaim the seats of orphans"),
        "probe": Command("probe", "ask the running sidecar: startup, ready or live (for health checks)"),
        "wait": Command("wait", "wait until the running sidecar is ready"),
    },
    "To look": {
        "status": Command("status", "what the running sidecar does and what it waits for"),
        "list": Command("list_", "all seats in the ledger: owner, age, phase, orphan or why not"),
        "check-config": Command("check_config", "the effective settings and where each comes from"),
    },
    "To act on seats": {
        "reclaim": Command("reclaim", "give back the seats whose owners are gone"),
        "release": Command("release", "give back the seat of one deployment ID"),
        "import": Command("import_", "take over deployment IDs that older automation left behind"),
    },
    "For the chart's hooks": {
        "init-secrets": Command("init_secrets", "see to the Secrets that are generated or given by value"),
        "drain": Command("drain", "give back the seats of a release before it is uninstalled"),
    },
}
COMMANDS: Final = {name: command for group in _GROUPS.values() for name, command in group.items()}


def help_text() -> str:
    """Return what ``license-sidecar --help`` prints."""
    lines = [
        f"usage: {PROGRAM} COMMAND [options]",
        "",
        "Licence sidecar for OPSWAT MetaDefender ICAP Server: seats never leak, a live pod never",
        "loses its seat, and everybody can see it.",
    ]
    for title, commands in _GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<13} {command.summary}" for name, command in commands.items())]
    return (
        "\n".join(lines)
        + f"""

Settings come from --config FILE.yaml, then the environment, then flags; the later wins:
  activation.url in the file = LICENSE_SIDECAR_ACTIVATION_URL = --activation-url
Keys and passwords are read from files only.

Examples:
  {PROGRAM} check-config --config sidecar.yaml
  {PROGRAM} run --config sidecar.yaml --log-format text
  {PROGRAM} wait --for ready --timeout 2m && echo licensed
  {PROGRAM} list --ledger-dir /var/lib/license-sidecar

Exit codes:
   0  done                       70  a bug: please report it
  64  wrong usage                77  refused by the activation server
  69  not reached in time        78  wrong settings, every fault listed

{PROGRAM} COMMAND --help tells about a command, {PROGRAM} --version the version.
"""
    )


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code (design.md section 7); only ``SystemExit`` of argparse passes."""
    try:
        code = _dispatch(list(argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # Somebody read as much as he wanted (`list | head`). The interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place where every failure becomes an exit code
        return tell_failure(error)
    return code


def _dispatch(argv: list[str]) -> int:
    if not argv:
        sys.stderr.write(help_text())
        return USAGE
    first, *rest = argv
    if first in {"-h", "--help", "help"}:
        sys.stdout.write(help_text())
        return DONE
    if first in {"-V", "--version"}:
        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        return DONE
    if first not in COMMANDS:
        return _unknown(first)
    from sidecar.cli.parser import Parser  # noqa: PLC0415 - help and version need no argparse

    module = importlib.import_module(f"sidecar.cli.{COMMANDS[first].module}")
    parser = Parser(prog=f"{PROGRAM} {first}", description=module.__doc__)
    module.configure(parser)
    code = module.run(parser.parse_args(rest))
    return int(code)


def _unknown(word: str) -> int:
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    from sidecar.secrets import MASKER  # noqa: PLC0415 - only a mistake needs it

    if word.startswith("-"):
        message = f"options stand behind the command: {PROGRAM} COMMAND {word.partition('=')[0]} ..."
    else:
        near = get_close_matches(word, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
        message = f"there is no command {word!r}: {hint}"
    sys.stderr.write(f"{PROGRAM}: {MASKER.mask(message)}\n")
    return USAGE


def tell_failure(error: Exception) -> int:
    """Tell what went wrong, without any secret, and return the exit code for it."""
    from sidecar.errors import Misconfigured, Refused, Retryable  # noqa: PLC0415 - only a failure needs it
    from sidecar.secrets import MASKER  # noqa: PLC0415 - only a failure needs it

    if isinstance(error, Misconfigured):
        count = len(error.faults)
        lines = [
            f"the settings have {count} fault{'s' if count != 1 else ''}",
            *(f"  - {each}" for each in error.faults),
            *(f"warning: {each}" for each in getattr(error, "__notes__", ())),
        ]
        code = CONFIGURATION
    elif isinstance(error, Refused):
        lines, code = [f"refused: {error}"], REFUSED
    elif isinstance(error, Retryable):
        lines, code = [f"not reached: {error}"], UNREACHABLE
    else:
        import traceback  # noqa: PLC0415 - only a bug needs it

        # Without locals: they may hold what must not be seen.
        lines, code = ["this is a bug, please report it:", "".join(traceback.format_exception(error)).rstrip()], BUG
    sys.stderr.write(MASKER.mask(f"{PROGRAM}: " + "\n".join(lines)) + "\n")
    return code
