"""List all seats in the ledger: owner, age, phase, and why each is or is not an orphan.

This is one look, so nothing but what was handed over is an orphan yet: an orphan is a record
whose owner is gone and which nobody renews for a lease before somebody's own eyes.
`license-sidecar reclaim` watches that long.

  ORPHAN  yes       handed over by its owner: any sidecar, or `reclaim`, releases it now
          not yet   its owner is gone; it counts as an orphan after a lease of watching
          unproven  nobody can prove from here whether its owner lives (see `reclaim --help`)
          no        its owner lives

Exit codes: 0 shown, 69 the ledger cannot be read, 78 wrong settings.
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace

from sidecar.cli import operator
from sidecar.cli.options import add_settings, load_and_warn
from sidecar.cli.table import aligned
from sidecar.config import Config
from sidecar.exit_codes import DONE


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    operator.add_output(parser)
    add_settings(parser, shown=operator.SHOWN)


def run(arguments: Namespace) -> int:
    """Show the ledger."""
    config = load_and_warn(arguments, os.environ)
    return operator.conduct(lambda: _show(config, arguments.output), stopped=operator.INTERRUPTED)


async def _show(config: Config, output: str) -> int:
    from sidecar import wiring  # noqa: PLC0415 - wrong settings are told without it
    from sidecar.cli import seats  # noqa: PLC0415 - the same

    async with wiring.desk(config) as desk:
        scan = await desk.reclaimer.scan()
        snapshot = await desk.keys.poll()
    wall, lease = time.time(), config.lease.duration
    if output == "json":
        operator.print_json(
            {
                "ledger": operator.place(config),
                "server": config.activation.url,
                "keys": sorted(snapshot.known()),
                "seats": list(seats.objects(scan, wall, lease)),
                "strays": operator.strays_as_objects(scan.strays),
                "totals": seats.totals(scan),
            }
        )
        return DONE
    if scan.judged:
        operator.say(aligned(list(seats.rows(scan, wall, lease))))
    operator.say(f"{seats.summary(scan) if scan.judged else f'no seats in {operator.place(config)}'}\n")
    operator.say(operator.told_strays(scan.strays))
    if scan.judged and snapshot.fault:
        operator.say(f"warning: {snapshot.fault}\n")
    return DONE
