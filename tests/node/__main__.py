"""Make everything ready for a real node, and run the tests of this folder in a room of their own.

    python -m tests.node [ARGUMENTS OF PYTEST]

Programs and image are built first: inside of the room there is no network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.cluster.binaries import Missing
from tests.node import enclosure, programs
from tests.node.programs import IMAGE, require_machine

ROOT: Final = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str]) -> int:
    """Build, then run pytest; a machine that cannot be a node skips, in CI it fails."""
    pytest = [sys.executable, "-m", "pytest", "tests/node", *arguments]
    try:
        require_machine()
    except Missing:
        return subprocess.run(pytest, cwd=ROOT, check=False).returncode  # it tells what is missing, and how to get it
    if code := programs.main([]):
        return code
    if IMAGE not in os.environ:
        # Whoever ends this process ends the engine too that builds the image.
        build = ["setpriv", "--pdeathsig", "TERM", str(ROOT / ".ci" / "node-image")]
        built = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=False)
        if built.returncode:
            return built.returncode
        os.environ[IMAGE] = built.stdout.strip()
    return enclosure.run(pytest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
