"""Give back the seat of one deployment ID, because you say so.

With a record in the ledger the seat goes the way of every seat: claimed, deactivated, its record
erased. Where a 404 or a late request calls for a second look, the record stays for it: --wait
takes it here (activation.late, two minutes by default), otherwise a running sidecar, `reclaim`
or another `release --wait` finishes it, and the exit code is 69.

The seat of an owner that lives, or about whom nothing can be proven from here, needs --force. A
sidecar that runs takes such a seat again at its next renewal: stop it first if the seat shall
stay free.

Without a record the activation server is asked under every key of key.dir, or under that of
--key. A 404 means "unknown under this key" and is never told as released.

  license-sidecar release MSCL0123456789ABCDEF0123456789ABCDEF --wait

Exit codes: 0 released (or unknown twice, and the record erased), 64 wrong usage, 69 not reached
or not finished, 77 refused, or unknown under every key, 78 wrong settings or no key for it.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sidecar.cli import operator
from sidecar.cli.left_behind import fault_of
from sidecar.cli.options import add_settings
from sidecar.cli.progress import Progress
from sidecar.config import Config
from sidecar.errors import Misconfigured
from sidecar.exit_codes import CONFIGURATION, DONE, REFUSED, UNREACHABLE

if TYPE_CHECKING:
    from sidecar.operate.results import Result


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("deployment_id", metavar="ID", type=deployment_id, help="deployment ID, as `list` shows it")
    parser.add_argument("--force", action="store_true", help="although its owner lives, or may live")
    parser.add_argument("--wait", action="store_true", help="stay until it is over, second look included")
    parser.add_argument(
        "--key", metavar="FINGERPRINT", type=_fingerprint, help="only the seat under this key, as `list` shows it"
    )
    operator.add_output(parser)
    add_settings(parser, shown=operator.SHOWN)


def run(arguments: Namespace) -> int:
    """Release."""
    config = operator.settings(arguments)
    return operator.conduct(lambda: _release(config, arguments), stopped=operator.INTERRUPTED)


async def _release(config: Config, arguments: Namespace) -> int:
    from sidecar import wiring  # noqa: PLC0415 - wrong settings are told without it
    from sidecar.operate.single import Wish, release  # noqa: PLC0415 - the same

    progress = Progress()
    wish = Wish(
        deployment_id=arguments.deployment_id,
        key_fingerprint=arguments.key,
        force=arguments.force,
        wait=arguments.wait,
    )
    async with wiring.desk(config) as desk:
        keys = operator.known_keys(await desk.keys.poll())
        if arguments.key is not None and arguments.key not in keys:
            raise Misconfigured(
                f"key.dir: {config.key.dir} holds no key with the fingerprint {arguments.key} (there: "
                f"{', '.join(keys)}); add it to the file `previous`"
            )
        try:
            results = await release(desk.reclaimer, wish, keys if arguments.key is None else (arguments.key,), progress)
        finally:
            progress.clear()
    operator.show(results, (), arguments.output, nothing="")
    return exit_code(results)


def exit_code(results: Sequence[Result]) -> int:
    """Return the exit code for what became of the seats of one ID."""
    from sidecar.operate.results import REMAINS, Fate  # noqa: PLC0415 - loaded by then

    fates = {it.fate for it in results}
    if Fate.REFUSED in fates:
        return REFUSED
    if Fate.NO_KEY in fates:
        return CONFIGURATION
    if fates & REMAINS:
        return UNREACHABLE
    # Without a record, unknown under every key is no success: it may be mistyped.
    nowhere = fates <= {Fate.UNKNOWN, Fate.KEPT} and not any(it.owner for it in results)
    return REFUSED if nowhere else DONE


def deployment_id(text: str) -> str:
    """Read a deployment ID for ``argparse``; a message never shows what is none, for it may be a key."""
    fault = fault_of(text.strip())
    if fault:
        raise ArgumentTypeError(f"it {fault}")
    return text.strip()


def _fingerprint(text: str) -> str:
    if re.fullmatch(r"[0-9a-f]{12}", text.strip().lower()) is None:
        raise ArgumentTypeError("a fingerprint is 12 hexadecimal digits, as `list` shows it")
    return text.strip().lower()
