"""Release the seats of deployment IDs that older automation left behind.

Without --apply nothing is done and the activation server is not asked: it only says what it would
do. An ID is released if the ledger has no record of it, or one whose owner is gone.

In Kubernetes an ID without a record that stands beside a pod's name is kept if a pod of that name
lives in our namespace, or if we may not look. Elsewhere, and for an ID without a name, nobody can
look: an app that runs WITHOUT a sidecar has no record, so name its ID with --keep, or put all IDs
that are in use into the file of --live, or it will lose its seat.

FILE is `-` for standard input, a file, or the folder of a mounted Secret. These forms are taken:

  a Secret's manifest  kubectl get secret mdicap-licensing -o yaml | license-sidecar import -
                       (JSON too): each entry of `data` and `stringData` is pod name: ID
  a folder             one file for each pod, with the ID in it; names with a leading dot are left
                       out; a file may also hold any of the other forms
  a mapping            JSON or YAML, pod name: ID
  lines                name=ID, name: ID, or an ID alone; blank lines and # comments are left out
  a list               JSON or YAML list of IDs

--format secret insists on pod names, --format list on one ID a line. Empty ones, `null` and what
was named before are skipped; so is what looks like no ID (a key, a structure), without showing it.

An ID without a record is asked about under every key of key.dir. A 404 means "unknown under this
key" and is never told as released. It writes nothing, so it can be run again after any end. Not
more than reclaim.rate requests are sent a minute, after as many at once.

Exit codes: 0 done, 64 wrong usage or a FILE that cannot be read, 69 something was not reached or
needs a second look, 78 wrong settings.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from sidecar.cli import operator
from sidecar.cli.left_behind import UnreadableIds, read
from sidecar.cli.options import add_settings
from sidecar.cli.progress import Progress
from sidecar.cli.release import deployment_id
from sidecar.config import Config, LedgerKind
from sidecar.exit_codes import DONE, UNREACHABLE, USAGE

if TYPE_CHECKING:
    from sidecar.operate.results import Result
    from sidecar.operate.takeover import LeftBehind

_NOTHING: Final = "there is no ID in it: nothing to do"
_RIGHTS: Final = 35.0
"""Seconds for which the API server is asked again in all: a refusal is believed after 30."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="where the IDs are: a file, a folder, or - for standard input")
    parser.add_argument("--apply", action="store_true", help="release; without it, only say what would be done")
    parser.add_argument(
        "--format", choices=("auto", "secret", "list"), default="auto", help="the form of FILE (default auto: any)"
    )
    parser.add_argument(
        "--keep",
        metavar="ID",
        type=deployment_id,
        nargs="+",
        action="extend",
        default=[],
        help="IDs that are in use: not touched",
    )
    parser.add_argument("--live", metavar="FILE", help="file with IDs that are in use, in any of the forms")
    operator.add_output(parser)
    add_settings(parser, shown=operator.SHOWN)


def run(arguments: Namespace) -> int:
    """Import."""
    if arguments.file == arguments.live == "-":
        return _unusable("FILE and --live cannot both be standard input")
    config = operator.settings(arguments)
    try:
        entries = read(arguments.file, arguments.format)
        live = read(arguments.live, "auto") if arguments.live is not None else ()
    except UnreadableIds as fault:
        return _unusable(str(fault))
    unclear = sum(1 for it in live if it.fault and not it.empty)
    if unclear:
        # Whoever says what is in use must be understood to the last word.
        return _unusable(f"--live: {unclear} of {len(live)} entries are no deployment IDs: nothing is done")
    in_use = frozenset(arguments.keep) | {it.deployment_id for it in live if not it.fault}
    if not entries:
        # Older automation was never there: no key and no ledger is needed for that.
        operator.show((), (), arguments.output, nothing=_NOTHING)
        return DONE
    return operator.conduct(lambda: _import(config, arguments, entries, in_use), stopped=operator.INTERRUPTED)


async def _import(config: Config, arguments: Namespace, entries: Sequence[LeftBehind], in_use: frozenset[str]) -> int:
    from sidecar import wiring  # noqa: PLC0415 - wrong settings are told without it
    from sidecar.operate.persistence import Persistence  # noqa: PLC0415 - the same
    from sidecar.operate.results import REMAINS  # noqa: PLC0415 - the same
    from sidecar.operate.takeover import carry_out, foresee, look, plan  # noqa: PLC0415 - the same

    progress = Progress()
    async with wiring.desk(config) as desk:
        keys = operator.known_keys(await desk.keys.poll())
        if config.ledger.kind is LedgerKind.KUBERNETES:
            # As a hook its rights may come a moment after its Job.
            deadline = asyncio.get_running_loop().time() + _RIGHTS
            persistence = Persistence(progress, SystemRandom(), deadline=deadline)
            scan = await persistence.call("looking at the seat records", desk.reclaimer.scan)
            async with wiring.named_pods(config) as pods:
                found = await persistence.call("looking at the pods", lambda: look(entries, in_use, pods))
        else:
            scan, found = await desk.reclaimer.scan(), {}
        plans = plan(entries, in_use, scan, found)
        if arguments.apply:
            results = await carry_out(plans, desk.reclaimer, keys, progress)
        else:
            results = foresee(plans)
    operator.show(results, (), arguments.output, nothing=_NOTHING)
    if arguments.output == "table" and results:
        operator.say(f"{_summary(results)}{'' if arguments.apply else ' (nothing was done: --apply does it)'}\n")
    return UNREACHABLE if any(it.fate in REMAINS for it in results) else DONE


def _summary(results: Sequence[Result]) -> str:
    fates = Counter(it.fate for it in results)
    return ", ".join(f"{count} {fate.value.replace('_', ' ')}" for fate, count in fates.items())


def _unusable(text: str) -> int:
    sys.stderr.write(f"license-sidecar import: {text}\n")
    return USAGE
