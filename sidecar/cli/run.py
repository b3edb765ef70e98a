"""Take a seat for the app beside it, keep it, give it back; reclaim the seats of orphans.

This is the sidecar itself: it runs until SIGTERM (or SIGINT) and then ends within shutdown.budget,
whatever hangs. `status`, `wait` and `probe` ask it on http.port; /metrics is there too. It needs a
key in key.dir, an app at app.url and a ledger: Leases where a service account's token is mounted,
elsewhere the folder ledger.dir. None of them has to be there at its start.

  license-sidecar check-config --config sidecar.yaml     every fault at once, without starting
  license-sidecar run --config sidecar.yaml --log-format text

Exit codes: 0 told to stop, and the seat was given back or is its successor's; 64 wrong usage;
69 the seat could not be given back in time: its record says so, and others finish it; 70 a bug:
the seat stays ours, its restart adopts it; 78 wrong settings, every fault listed.
"""

from __future__ import annotations

import argparse
import os
from typing import NoReturn

from sidecar.stop_signals import StopSignals

_SIGNALS = StopSignals()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the settings; from here on a signal to stop is not lost, and nothing heavy is loaded yet."""
    _SIGNALS.install()
    from sidecar.cli.options import add_settings  # noqa: PLC0415 - after the signal handlers

    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Live until told to stop; the process ends inside, with its exit code."""
    from sidecar.cli.options import load  # noqa: PLC0415 - after the signal handlers

    config = load(arguments, os.environ)
    import asyncio  # noqa: PLC0415 - wrong settings are told without it

    from sidecar.observe import logs  # noqa: PLC0415 - the same

    logs.set_up(log_format=config.log.format, level=config.log.level)
    log = logs.logger("sidecar")
    for warning in config.warnings:
        log.warning("setting", warning=warning)
    from sidecar import __version__, lifecycle, wiring  # noqa: PLC0415 - the same

    def listening(port: int) -> None:
        log.info("started", version=__version__, port=port, mode=config.mode, pod=config.pod.name)

    def bug(error: BaseException) -> None:
        log.critical("a bug: the sidecar ends, the seat stays ours, its restart adopts it", exc_info=error)

    async def live() -> NoReturn:
        life = wiring.life(config, bug=bug, listening=listening, leave=lifecycle.leave)
        await lifecycle.run(life, _SIGNALS)

    asyncio.run(live())
    raise AssertionError("run() returned")
