"""The entry of ``license-sidecar`` and ``python -m sidecar``: stays light, for each probe starts it anew."""

from __future__ import annotations

import sys
from typing import NoReturn

from sidecar.cli import main as run_command


def main() -> NoReturn:
    """Run the command line and end with its exit code."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
