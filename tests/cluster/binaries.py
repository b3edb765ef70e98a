"""Find the programs of a Kubernetes control plane, or build them from pinned Go modules: no image, no download page.

    python -m tests.cluster.binaries --version 1.34

looks into KUBEBUILDER_ASSETS (what envtest users have), then into a cache outside of the tree, and builds what neither
has. It runs without the project's environment, so standard library only. It starts no cluster.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MODULES: Final = Path(__file__).resolve().parent / "kubernetes"
DEFAULT_VERSION: Final = "1.34"
PROGRAMS: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
OPTIONAL: Final = ("kubectl",)
ETCD: Final = "etcd"
_SAY_EVERY: Final = 20.0


class Missing(Exception):  # noqa: N818 - it is a state of the machine with a remedy, not a fault of the program
    """Something is not on this machine; the text says what, ``install`` the command that brings it."""

    def __init__(self, what: str, install: str) -> None:
        """Keep both apart, for the message of a skipped test."""
        super().__init__(f"{what}; to get it: {install}")
        self.what = what
        self.install = install


def versions(modules: Path = MODULES) -> list[str]:
    """Return the minor versions for which there is a module, oldest first."""
    return sorted((folder.name for folder in modules.iterdir() if folder.is_dir()), key=_numbers)


class Binaries:
    """The programs of one minor version of Kubernetes, where they are or would be."""

    def __init__(
        self, version: str = DEFAULT_VERSION, *, modules: Path = MODULES, builder: str = "tests.cluster.binaries"
    ) -> None:
        """Choose a version, and the folder whose module of that version pins it; nothing is looked for yet.

        ``builder`` is the Python module that builds the programs: who misses one is told its name.

        Raises:
            Missing: there is no module for it.

        """
        self.version = version
        self._module = modules / version
        self._builder = builder
        if not (self._module / "go.mod").is_file():
            known = ", ".join(versions(modules))
            raise Missing(f"there is no module for Kubernetes {version}", f"choose one of {known}")

    @property
    def release(self) -> str:
        """Return the exact version, such as ``v1.34.4``."""
        return _search(r"k8s\.io/kubernetes (v\S+)", (self._module / "go.mod").read_text())

    def etcd(self) -> Path:
        """Return etcd.

        Raises:
            Missing: neither KUBEBUILDER_ASSETS nor PATH has one.

        """
        assets = _assets()
        if assets is not None and _runs(assets / ETCD):
            return assets / ETCD
        found = shutil.which(ETCD)
        if found is None:
            raise Missing("there is no etcd", "apt-get install etcd-server")
        return Path(found)

    def find(self, name: str) -> Path:
        """Return a program that is there already.

        Raises:
            Missing: it would have to be built.

        """
        found = self._found(name)
        if found is None:
            raise Missing(
                f"{name} {self.version} is not built yet", f"python -m {self._builder} --version {self.version}"
            )
        return found

    def build(self, names: Sequence[str] = PROGRAMS) -> None:
        """Build the programs that are not there, one after another, telling how far it is.

        Raises:
            Missing: there is no Go, or one that is too old.
            subprocess.CalledProcessError: the build failed; what it said was printed.

        """
        missing = [name for name in names if self._found(name) is None]
        assets = _assets()
        if assets is not None:
            for name in names:
                self._tell_of_assets(assets / name)
        if not missing:
            return
        folder = self._cache()
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder):
            for number, name in enumerate(missing, 1):
                if self._found(name) is None:  # another builder may have been faster
                    self._build(name, folder, f"{number} of {len(missing)}: {name} {self.release}")

    def _found(self, name: str) -> Path | None:
        assets = _assets()
        if assets is not None and _runs(assets / name):
            return assets / name
        built = self._cache() / name if shutil.which("go") else None
        return built if built is not None and _runs(built) else None

    def _tell_of_assets(self, program: Path) -> None:
        """Say whether KUBEBUILDER_ASSETS has a program, and whether it is of the version that was asked for."""
        if not _runs(program):
            _say(f"KUBEBUILDER_ASSETS has no {program.name}: it comes from the cache or is built")
            return
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        wanted = "" if f"v{self.version}." in said else f", which is not the {self.version} that was asked for"
        _say(f"{program.name} is that of KUBEBUILDER_ASSETS: {said or 'of an unknown version'}{wanted}")

    def _cache(self) -> Path:
        go = self._go()
        pinned = (self._module / "go.mod").read_bytes() + (self._module / "go.sum").read_bytes() + go.encode()
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return home / "license-sidecar" / "kubernetes" / f"{self.version}-{hashlib.sha256(pinned).hexdigest()[:12]}"

    def _go(self) -> str:
        """Return what Go says of itself, if it can build this version."""
        wanted = _search(r"(?m)^go (\S+)", (self._module / "go.mod").read_text())
        if shutil.which("go") is None:
            raise Missing("there is no Go", f"install Go {wanted} or later, https://go.dev/doc/install")
        said = subprocess.run(["go", "version"], cwd=self._module, capture_output=True, text=True, check=False)
        version = re.search(r"go version go(\d+(?:\.\d+)*)", said.stdout)
        if version is None or _numbers(version[1]) < _numbers(wanted):
            raise Missing(
                f"Kubernetes {self.version} needs Go {wanted} or later",
                f"install it, https://go.dev/doc/install (here is: {(said.stdout + said.stderr).strip()[:200]})",
            )
        return said.stdout.strip()

    def _build(self, name: str, folder: Path, what: str) -> None:
        since = time.monotonic()
        partial = folder / f".{name}.partial"
        command = [
            *("go", "build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", str(partial)),
            *("-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion={self.release}"),
            f"k8s.io/kubernetes/cmd/{name}",
        ]
        _say(f"{what}: building (minutes the first time, seconds later)")
        build = subprocess.Popen(
            command,
            cwd=self._module,
            env={**os.environ, "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            said = _follow(build, what, since)
        finally:
            if build.poll() is None:
                build.terminate()
            build.wait()
        if build.returncode != 0:
            partial.unlink(missing_ok=True)
            _say(f"{what}: failed\n" + "\n".join(said[-40:]))
            raise subprocess.CalledProcessError(build.returncode, command[:2])
        partial.replace(folder / name)  # whole or not at all: a half-written program must not be found
        _say(f"{what}: done in {time.monotonic() - since:.0f} s")


def _follow(build: subprocess.Popen[str], what: str, since: float) -> list[str]:
    """Read what the compiler says to the end, and tell every few seconds how far it is."""
    said: list[str] = []
    over = threading.Event()

    def tell() -> None:
        while not over.wait(_SAY_EVERY):
            _say(f"{what}: {time.monotonic() - since:.0f} s, {len(said)} packages compiled")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    assert build.stderr is not None
    with build.stderr:
        said.extend(line.rstrip() for line in build.stderr)
    over.set()
    teller.join()
    return said


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the folder against other builders; the kernel lets go when the process ends, however it does."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another build of this version is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _assets() -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(folder) if folder else None


def _runs(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _search(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return found[1]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command that lasts minutes must say what it does


def main() -> int:
    """Build what is missing, and say what cannot be built."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", default=DEFAULT_VERSION, help=f"one of {', '.join(versions())}")
    parser.add_argument("--with", dest="extra", action="append", choices=OPTIONAL, default=[], help="build that too")
    parser.add_argument("--where", action="store_true", help="print where each program is, build nothing")
    arguments = parser.parse_args()
    if os.environ.get("LICENSE_SIDECAR_TEST_CLUSTER") == "existing":
        _say("the tests use an existing cluster: nothing has to be built")
        return 0
    try:
        binaries = Binaries(arguments.version)
        names = (*PROGRAMS, *arguments.extra)
        if not arguments.where:
            binaries.build(names)
        places = [binaries.etcd(), *(binaries.find(name) for name in names)]
    except Missing as missing:
        _say(str(missing))
        return 69
    except subprocess.CalledProcessError:
        return 70
    if arguments.where:
        _say("\n".join(map(str, places)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
