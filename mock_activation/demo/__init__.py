"""``mock-activation demo``: a licence seat's life, told and checked with real processes on this machine.

It imports nothing of the sidecar: it starts what a user would start and looks at it over HTTP, as a user could.
"""

from mock_activation.demo.command import configure, run

__all__ = ["configure", "run"]
