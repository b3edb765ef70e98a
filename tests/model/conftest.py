"""How long hypothesis may search: a moment by default, long with ``HYPOTHESIS_PROFILE=ci`` or ``deep``."""

import os

from hypothesis import HealthCheck, Phase, settings

QUIET = {
    "deadline": None,
    "report_multiple_bugs": False,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "phases": [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
}
settings.register_profile("quick", max_examples=80, stateful_step_count=40, derandomize=True, **QUIET)
settings.register_profile("ci", max_examples=2000, stateful_step_count=60, **QUIET)
settings.register_profile("deep", max_examples=20000, stateful_step_count=80, **QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
