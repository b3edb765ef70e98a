"""``make bench``: measures the targets of design.md section 10 that concern one machine, and prints them as a table.

Figures are medians unless the table says otherwise, and what is compared is measured by turns: absolute times of a busy
machine mean little, ratios a little more. Nothing here fails because something is slow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from tests.bench import cluster, fleet, life, load, machine, scrape
from tests.bench.figures import Figure, table
from tests.bench.installed import ROOT, install

PARTS: Final = {
    "life": life.measure,
    "cluster": cluster.measure,
    "metrics": scrape.measure,
    "mock": load.measure,
    "simulation": fleet.measure,
}


def main() -> int:
    """Run the chosen parts, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: two minutes instead of twenty")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part (repeatable)")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results.json", metavar="FILE")
    options = parser.parse_args()
    about = machine.describe()
    print(machine.sentence(about), flush=True)  # noqa: T201 - the program's output
    figures = asyncio.run(_measure(options.only or list(PARTS), quick=options.quick))
    figures += life.ratios(figures)
    print(f"\n{table(figures)}\n\n{_closing(figures)}")  # noqa: T201 - the program's output
    results = {"machine": about, "quick": options.quick, "figures": [each.as_json() for each in figures]}
    options.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0


async def _measure(parts: list[str], *, quick: bool) -> list[Figure]:
    installed = install()
    return [figure for part in parts for figure in await PARTS[part](installed, quick=quick)]


def _closing(figures: list[Figure]) -> str:
    judged = [each for each in figures if each.met is not None]
    missed = [each.name for each in judged if not each.met]
    return f"{len(judged) - len(missed)} of {len(judged)} targets met" + "".join(f"\n  missed: {it}" for it in missed)


if __name__ == "__main__":
    sys.exit(main())
