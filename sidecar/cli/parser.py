"""The parser that every command gets: exit code 64, a "did you mean", and no value of a flag in any message.

What stands behind an unknown flag may be a key, so messages name flags and never repeat what was given to them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from sidecar.adapters.lean_imports import lean
from sidecar.exit_codes import USAGE

with lean("bz2", "lzma"):
    # argparse asks it for the terminal's width. What it would pack archives with is two libraries, a quarter of a MiB
    # in every sidecar; without them it carries on (library reference, shutil: "if the bz2 module is available").
    import shutil  # noqa: F401

SETTING: Final = "setting:"
"""What stands before the names of settings among the parsed arguments."""


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` without abbreviations (a later flag must not change what an older script means)."""

    def __init__(self, *, prog: str, description: str | None = None, epilog: str | None = None) -> None:
        """Take the description as it is written."""
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]  # the overloads of typeshed allow no plain override
        """Parse all arguments; an unknown one ends the program with exit code 64 and a suggestion."""
        arguments, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flags = [each.partition("=")[0] for each in unknown if each.startswith("-") and each != "-"]
            if flags:
                self.error("; ".join(f"there is no option {flag}{self._suggestion(flag)}" for flag in flags))
            self.error(f"{len(unknown)} argument{'s' if len(unknown) > 1 else ''} too many")
        return arguments

    def format_help(self) -> str:
        """Return the help; its first line has one word for all settings: forty flags push the rest off the screen."""
        others = [it for it in self._actions if not it.dest.startswith(SETTING)]
        if self.usage is None and len(others) < len(self._actions):
            formatter = self._get_formatter()
            formatter.add_usage(None, others, self._mutually_exclusive_groups, prefix="usage: ")
            usage = formatter.format_help().removeprefix("usage: ").strip()
            self.usage = usage.replace("%", "%%") + " [settings]"
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and end with exit code 64."""
        from sidecar.secrets import MASKER  # noqa: PLC0415 - only a mistake needs it

        choice = re.search(r"invalid choice: '?([^']*)'? \(choose from (.*)\)", message)
        if choice:
            message += _near(choice[1], re.findall(r"[\w-]+", choice[2]))
        sys.stderr.write(f"{self.prog}: {MASKER.mask(message)}\n{self.prog} --help tells what there is\n")
        raise SystemExit(USAGE)

    def _suggestion(self, flag: str) -> str:
        return _near(flag, [option for action in self._actions for option in action.option_strings])


def _near(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    near = get_close_matches(word, list(known), n=1)
    return f": did you mean {near[0]}?" if near else ""
