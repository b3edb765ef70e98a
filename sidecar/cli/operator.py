"""What the operator's commands share: settings, signals, results as table or JSON.

A command must be stoppable at any moment: whatever is claimed at that moment is free for others again when the claim
has run out, so nothing is tidied up on the way out that could hang.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from sidecar.cli.table import aligned
from sidecar.config import Config, LedgerKind
from sidecar.core.facts import KeySnapshot
from sidecar.core.policy import Mode
from sidecar.core.records import Stray
from sidecar.errors import Misconfigured
from sidecar.secrets import MASKER
from sidecar.stop_signals import StopSignals

if TYPE_CHECKING:
    from sidecar.operate.results import Result

INTERRUPTED: Final = 130
_LAST_WORDS: Final = 1.0
"""Seconds that a command gets to close what it has open when it is told to stop."""
SHOWN: Final = ("ledger", "key", "activation", "lease", "reclaim")
"""The sections of the settings that the helps list."""


def add_output(parser: ArgumentParser) -> None:
    """Give a command ``--output``."""
    parser.add_argument(
        "--output", choices=("table", "json"), default="table", help="table for a person (default), json for a program"
    )


def settings(arguments: Namespace) -> Config:
    """Return the settings of a command that acts on seats. Raises ``Misconfigured``, also where there are no seats."""
    from sidecar.cli.options import load_and_warn  # noqa: PLC0415 - the helps do without

    config = load_and_warn(arguments, os.environ)
    if config.mode is not Mode.ONLINE:
        raise Misconfigured(
            f"mode ({config.origins['mode']}: {config.mode}): there are no seat records in this mode; "
            "this command is for mode: online"
        )
    return config


def place(config: Config) -> str:
    """Return where the seat records are, for a person."""
    if config.ledger.kind is LedgerKind.KUBERNETES:
        return f"the Leases of namespace {config.ledger.namespace}"
    return str(config.ledger.dir)


def known_keys(snapshot: KeySnapshot) -> tuple[str, ...]:
    """Return the fingerprints of all keys, the current one first. Raises ``Misconfigured`` if there is none."""
    keys = ((snapshot.current,) if snapshot.current else ()) + snapshot.previous
    if not keys:
        raise Misconfigured(snapshot.fault)
    return keys


def conduct(work: Callable[[], Awaitable[int]], *, signals: StopSignals | None = None, stopped: int = 0) -> int:
    """Run a command until it ends or a signal comes; return its exit code, or end the process with ``stopped``.

    ``signals``: those that were caught since before the heavy imports, if that matters.
    """
    return asyncio.run(_conduct(work, signals or StopSignals(), stopped))


async def _conduct(work: Callable[[], Awaitable[int]], signals: StopSignals, stopped: int) -> int:
    from sidecar.lifecycle import leave  # noqa: PLC0415 - loaded by then: wiring needs it

    arrivals = signals.attach(asyncio.get_running_loop())
    this = asyncio.current_task()
    code, failure = stopped, None

    async def stop() -> None:
        await arrivals.get()
        if this is not None:
            this.cancel()
        # Not to be waited for any longer: the loop's threads may hang in a look-up of a name.
        await asyncio.sleep(_LAST_WORDS)
        leave(stopped)

    async with asyncio.TaskGroup() as group:
        watch = group.create_task(stop(), name="stop")
        try:
            code = await work()
        except asyncio.CancelledError:
            if stopped == INTERRUPTED:
                with suppress(OSError):
                    sys.stderr.write("\nstopped; a seat that was just being released is finished by the next run\n")
            leave(stopped)
        except Exception as error:  # noqa: BLE001 - raised again outside of the group, which would wrap it
            failure = error
        finally:
            watch.cancel()
    if failure is not None:
        raise failure
    return code


def show(results: Iterable[Result], strays: Iterable[Stray], output: str, *, nothing: str) -> None:
    """Print results as a table or as JSON; ``nothing`` is said where there are none."""
    found, odd = list(results), list(strays)
    if output == "json":
        print_json({"results": [as_object(it) for it in found], "strays": strays_as_objects(odd)})
        return
    rows = [("DEPLOYMENT ID", "KEY", "OWNER", "RESULT", "WHY")]
    rows += [
        (it.deployment_id or "-", it.key_fingerprint or "-", it.owner or "-", it.fate.replace("_", " "), it.why)
        for it in found
    ]
    say(aligned(rows) if found else f"{nothing}\n")
    say(told_strays(odd))


def as_object(result: Result) -> dict[str, str]:
    """Return a result for a program."""
    return {
        "deployment_id": result.deployment_id,
        "key_fingerprint": result.key_fingerprint,
        "owner": result.owner,
        "result": result.fate.value,
        "why": result.why,
    }


def strays_as_objects(strays: Iterable[Stray]) -> list[dict[str, str]]:
    """Return what is no seat record, for a program."""
    return [{"name": it.name, "fault": it.fault} for it in strays]


def told_strays(strays: Iterable[Stray]) -> str:
    """Return a line for each thing in the ledger that is no seat record."""
    lines = [("left alone in the ledger:", it.name, it.fault) for it in strays]
    return aligned(lines)


def print_json(content: Mapping[str, Any]) -> None:
    """Print an object."""
    say(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """Write to standard output, without any secret."""
    sys.stdout.write(MASKER.mask(text))
