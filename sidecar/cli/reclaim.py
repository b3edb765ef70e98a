"""Give back the seats whose owners are gone.

  --once     (default) list, watch for one lease, list again, release what nobody renewed, and
             take the second look that a 404 or a late request calls for. With the default
             settings that takes one to three minutes.
  --watch    go on for ever, as a running sidecar does beside its own seat; ends at SIGTERM
  --all      as --once, and also the records of owners about whom nothing can be proven from
             here: they ran on another machine, or before this one was booted, or the ledger lies
             on a network file system. Only you can know that they are gone. A record that is
             renewed while this command watches is left alone all the same.
  --dry-run  look once, say what would be done, change nothing

The seat of an owner that lives is never touched (`release --force` is for that). What is done
is done as by any sidecar: claim, deactivate, erase; stopping it at any moment does no harm.

  RESULT  released   the server said so, and the record is erased
          unknown    the server did not know the seat, twice; the record is erased
          kept       its owner lives
          waiting    a second look is due, or it was not watched for long enough
          failed     the server did not answer; run it again
          left       nobody can prove its owner's end: --all
          no key     its key is not in key.dir: add it to the file `previous`
          elsewhere  somebody else finished it meanwhile
          reported   its deployment ID was never known: nothing can be released

Exit codes: 0 nothing remains, 69 something remains or cannot be reached, 78 wrong settings.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from sidecar.cli import operator
from sidecar.cli.options import add_settings
from sidecar.cli.progress import Progress
from sidecar.config import Config
from sidecar.exit_codes import DONE, UNREACHABLE, USAGE
from sidecar.stop_signals import StopSignals


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--once", action="store_true", help="until nothing is left that waiting would change (default)")
    way.add_argument("--watch", action="store_true", help="for ever, until SIGTERM or Ctrl-C; writes log lines")
    way.add_argument("--all", action="store_true", help="once, and the records of owners whose end nobody can prove")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    operator.add_output(parser)
    add_settings(parser, shown=operator.SHOWN)


def run(arguments: Namespace) -> int:
    """Reclaim."""
    if arguments.watch and arguments.dry_run:
        sys.stderr.write("license-sidecar reclaim: --watch and --dry-run exclude each other\n")
        return USAGE
    # With --watch this may be process 1 of a container, to which a signal without a handler means nothing.
    signals = StopSignals().install() if arguments.watch else None
    config = operator.settings(arguments)
    if arguments.watch:
        return operator.conduct(lambda: _watch(config), signals=signals, stopped=DONE)
    if arguments.dry_run:
        return operator.conduct(lambda: _forecast(config, arguments), stopped=operator.INTERRUPTED)
    return operator.conduct(lambda: _once(config, arguments), stopped=operator.INTERRUPTED)


async def _once(config: Config, arguments: Namespace) -> int:
    from sidecar import wiring  # noqa: PLC0415 - wrong settings are told without it
    from sidecar.operate.results import REMAINS  # noqa: PLC0415 - the same
    from sidecar.operate.sweep import Sweep  # noqa: PLC0415 - the same

    progress = Progress()
    async with wiring.desk(config, unproven=arguments.all) as desk:
        operator.known_keys(await desk.keys.poll())
        if arguments.all:
            progress.step(
                "--all: records of owners whose end nobody can prove count as orphans too, once nobody has renewed "
                f"them for {config.lease.duration:g} s; an owner that lives but cannot reach this ledger would lose "
                "its seat (Ctrl-C stops this)"
            )
        sweep = Sweep(desk.reclaimer, progress, lease=config.lease.duration)
        try:
            results = await sweep.run()
        finally:
            progress.clear()
    operator.show(results, sweep.strays, arguments.output, nothing="there is no seat record: nothing to reclaim")
    return UNREACHABLE if any(it.fate in REMAINS for it in results) else DONE


async def _forecast(config: Config, arguments: Namespace) -> int:
    from sidecar import wiring  # noqa: PLC0415 - wrong settings are told without it
    from sidecar.operate.sweep import forecast  # noqa: PLC0415 - the same

    async with wiring.desk(config, unproven=arguments.all) as desk:
        operator.known_keys(await desk.keys.poll())
        scan = await desk.reclaimer.scan()
    results = forecast(scan, lease=config.lease.duration)
    operator.show(results, scan.strays, arguments.output, nothing="there is no seat record: nothing to reclaim")
    return DONE


async def _watch(config: Config) -> int:
    from sidecar import wiring  # noqa: PLC0415 - wrong settings are told without it
    from sidecar.core.events import ProspectsSeen  # noqa: PLC0415 - the same
    from sidecar.observe import logs  # noqa: PLC0415 - the same

    def nobody_waits(_event: ProspectsSeen) -> None:
        """Take no note: there is no agent beside this reclaimer."""

    logs.set_up(log_format=config.log.format, level=config.log.level)
    async with wiring.desk(config, logs=True) as desk:
        snapshot = await desk.keys.poll()
        if not snapshot.known():
            logs.logger("sidecar").warning("there is no key", why=snapshot.fault)
        logs.logger("sidecar").info("watching the ledger for orphans", ledger=operator.place(config))
        await desk.reclaimer.run(nobody_waits)
    raise AssertionError("the reclaimer has ended")
