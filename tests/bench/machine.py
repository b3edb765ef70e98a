"""The machine that the figures belong to: without it a number means nothing."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Return what matters about this machine now; nothing that names it."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _line("/proc/cpuinfo", "model name") or platform.machine(),
        "memory_mib": _kib("MemTotal") // 1024,
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_at_start": [round(value, 2) for value in os.getloadavg()],
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def sentence(machine: dict[str, Any]) -> str:
    """Return the machine in one line."""
    load = ", ".join(f"{value:.2f}" for value in machine["load_at_start"])
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_mib']} MiB, Linux {machine['kernel']}, "
        f"{machine['python']}; load at start {load}"
    )


def _line(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        label, _, value = line.partition(":")
        if label.strip() == name:
            return value.strip()
    return ""


def _kib(name: str) -> int:
    return int(_line("/proc/meminfo", name).split()[0])
