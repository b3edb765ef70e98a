"""Print the effective settings and where each comes from, or every fault in them.

Exit codes: 0 the settings are right, 78 they are not.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from sidecar.cli.options import add_settings, load
from sidecar.cli.table import aligned
from sidecar.config import SETTINGS, Config, LedgerKind
from sidecar.errors import Misconfigured
from sidecar.exit_codes import CONFIGURATION, DONE
from sidecar.secrets import MASKER


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--output", choices=("table", "json"), default="table", help="table for a person (default), json for a program"
    )
    parser.add_argument("--docs", action="store_true", help="print docs/settings.md instead, and look at nothing")
    add_settings(parser)


def run(arguments: Namespace) -> int:
    """Print settings or faults."""
    if arguments.docs:
        from sidecar.config.docs import page  # noqa: PLC0415 - only for this

        sys.stdout.write(page())
        return DONE
    try:
        config = load(arguments, os.environ)
    except Misconfigured as error:
        if arguments.output != "json":
            raise
        _print(_json({"faults": list(error.faults)}))
        return CONFIGURATION
    warnings = [*config.warnings, *_missing(config)]
    if arguments.output == "json":
        settings = {name: {"value": _plain(config.value(name)), "origin": config.origins[name]} for name in SETTINGS}
        _print(_json({"settings": settings, "warnings": warnings}))
        return DONE
    rows = [("SETTING", "VALUE", "ORIGIN")]
    for name, setting in SETTINGS.items():
        rows.append((name, setting.kind.show(config.value(name)) or "-", config.origins[name]))
    _print(aligned(rows) + "".join(f"warning: {each}\n" for each in warnings))
    return DONE


def _missing(config: Config) -> Iterator[str]:
    """Tell what is not there yet: it may come later, so this is no fault."""
    where = f"key.dir ({config.origins['key.dir']}): {config.key.dir}"
    if not config.key.dir.is_dir():
        yield f"{where} is no folder (yet): without it there is no key"
    elif not (config.key.dir / "value").exists():
        yield f"{where} has no file named value (yet): without it there is no key"
    if config.ledger.kind is LedgerKind.FILE and not config.ledger.dir.is_dir():
        yield f"ledger.dir ({config.origins['ledger.dir']}): {config.ledger.dir} is no folder (yet)"


def _plain(value: Any) -> Any:
    match value:
        case StrEnum() | Path():
            return str(value)
        case tuple():
            return list(value)
        case _:
            return value


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _print(text: str) -> None:
    sys.stdout.write(MASKER.mask(text))
