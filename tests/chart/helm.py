"""Helm itself, versions 3 and 4: found or built from pinned Go modules, and asked to render the chart.

    python -m tests.chart.helm

builds both into a cache outside of the tree. HELM3 and HELM4 (or HELM, for the one that it is) name programs to use
instead. Nothing of the user's Helm is read: caches and configuration are folders of this process alone.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "charts" / "icap"
VERSIONS: Final = {3: "v3.22.0", 4: "v4.3.1"}
_BUILD_LIMIT: Final = 1800


class Missing(Exception):  # noqa: N818 - it is a state of the machine with a remedy, not a fault of the program
    """There is no Helm and none can be built; the text says what brings it."""


class Failed(Exception):  # noqa: N818 - many tests expect it
    """Helm said no; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Helm:
    """One Helm program."""

    major: int
    program: Path

    def run(
        self, *words: str, environment: Mapping[str, str] | None = None, limit: float = 120, everything: bool = False
    ) -> str:
        """Run it and return standard output, or ``everything`` it said (what its hooks wrote is standard error).

        Raises:
            Failed: it ended with another code than 0.

        """
        home = _home()
        done = subprocess.run(
            [str(self.program), *words],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "HELM_CACHE_HOME": str(home / "cache"),
                "HELM_CONFIG_HOME": str(home / "config"),
                "HELM_DATA_HOME": str(home / "data"),
                "KUBECONFIG": str(home / "no-cluster"),
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
        if done.returncode:
            raise Failed((done.stderr + done.stdout).strip())
        return done.stdout + (done.stderr if everything else "")

    def template(
        self,
        *files: Path,
        values: str = "",
        kubernetes: str = "1.34.0",
        release: str = "rel",
        namespace: str = "ns",
        apis: Sequence[str] = (),
        more: Sequence[str] = (),
    ) -> str:
        """Render the chart with files of values and then ``values``, which is YAML too."""
        words = ["template", release, str(CHART), "--namespace", namespace, "--kube-version", kubernetes, *more]
        for file in files:
            words += ["--values", str(file)]
        for api in apis:
            words += ["--api-versions", api]
        if not values:
            return self.run(*words)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as given:
            given.write(values)
            given.flush()
            return self.run(*words, "--values", given.name)

    def refusal(self, values: str, *, kubernetes: str = "1.34.0", more: Sequence[str] = ()) -> str:
        """Return why Helm does not render these values, in one line of text; empty if it does."""
        try:
            self.template(values=values, kubernetes=kubernetes, more=more)
        except Failed as failure:
            return " ".join(str(failure).split())
        return ""


@cache
def _home() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="license-sidecar-helm-")
    _kept.append(folder)
    return Path(folder.name)


_kept: Final[list[tempfile.TemporaryDirectory[str]]] = []
"""Removed when the process ends."""


@cache
def helm(major: int) -> Helm:
    """Return a Helm of that major version, building it if need be (about two minutes).

    Raises:
        Missing: there is none and none can be built.

    """
    for name in (f"HELM{major}", "HELM"):
        chosen = os.environ.get(name)
        if chosen and _major(chosen) == major:
            return Helm(major, Path(chosen))
    cached = _cache(major) / "helm"
    if not cached.exists():
        _build(major, cached)
    return Helm(major, cached)


def _major(program: str) -> int | None:
    done = subprocess.run([program, "version", "--short"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.", done.stdout)
    return int(found.group(1)) if found else None


def _cache(major: int) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "license-sidecar" / "helm" / VERSIONS[major]


def _build(major: int, target: Path) -> None:
    module = f"helm.sh/helm/v{major}/cmd/helm@{VERSIONS[major]}"
    remedy = f"HELM{major}=/path/to/helm, or Go and then: go install {module}"
    go = shutil.which("go")
    if go is None:
        raise Missing(f"there is no Helm {major}; to get it: {remedy}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return
        sys.stderr.write(f"building Helm {VERSIONS[major]} (about two minutes, once)\n")
        since = time.monotonic()
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            done = subprocess.run(
                ["nice", go, "install", "-trimpath", "-ldflags", "-s -w", module],
                env={**os.environ, "GOBIN": folder},
                capture_output=True,
                text=True,
                check=False,
                timeout=_BUILD_LIMIT,
            )
            if done.returncode:
                raise Missing(f"Helm {major} cannot be built; to get it: {remedy}\n{done.stderr[-500:]}")
            (Path(folder) / "helm").replace(target)
        sys.stderr.write(f"built in {time.monotonic() - since:.0f} s\n")


def main() -> int:
    """Bring both."""
    try:
        for major in VERSIONS:
            sys.stdout.write(helm(major).run("version", "--short"))
    except Missing as missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
