"""The entry point of ``mock-activation`` and of ``python -m mock_activation``."""

import sys

from mock_activation.cli import run


def main() -> int:
    """Run the command line."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
