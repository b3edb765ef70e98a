"""A stand-in for OPSWAT's MetaDefender ICAP Server: its REST API, its ICAP port and its life (``icap-app``).

For demos, tests and rehearsals; docs/icap-app.md says what is documented, what is assumed, and what is not there.
"""

from mock_activation.icap_app.app import IcapApp
from mock_activation.icap_app.command import configure, run
from mock_activation.icap_app.rules import parse_rule
from mock_activation.icap_app.settings import Manners, Readyz, Settings, Unlicensed

__all__ = ["IcapApp", "Manners", "Readyz", "Settings", "Unlicensed", "configure", "parse_rule", "run"]
