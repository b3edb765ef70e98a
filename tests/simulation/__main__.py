"""``python -m tests.simulation``: many storms, one line each; a failing seed can be given again to replay it."""

from __future__ import annotations

import argparse
import sys
import time

from mock_activation.profiles import PROFILES
from tests.simulation.storm import Storm, run


def main() -> int:
    """Run the storms and return 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seeds", default="1-10", metavar="A-B", help="seeds to run (default 1-10)")
    parser.add_argument("--pods", type=int, default=100, help="size of the fleet (default 100)")
    parser.add_argument("--hours", type=float, default=1.0, help="virtual hours of storm (default 1)")
    parser.add_argument("--every", type=float, default=10.0, help="mean virtual seconds between disturbances")
    parser.add_argument("--spare", type=int, default=0, help="seats beyond the number of pods (default 0)")
    parser.add_argument("--profile", choices=list(PROFILES), default="", help="let the server misbehave like this")
    parser.add_argument("--cluster", action="store_true", help="in Kubernetes: pods are objects, with all their ends")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    passed = failed = 0
    for seed in range(int(first), int(last or first) + 1):
        began = time.perf_counter()
        seconds = options.hours * 3600
        storm = Storm(seed, options.pods, seconds, options.every, options.spare, options.profile, options.cluster)
        report = run(storm)
        faults = report.faults()
        passed, failed = passed + (not faults), failed + bool(faults)
        words = "; ".join(faults) or "every invariant held"
        sys.stdout.write(f"seed {seed}: {report.requests} requests, {time.perf_counter() - began:.1f} s: {words}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{passed} passed, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
