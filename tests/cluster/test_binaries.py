"""How the programs of the test cluster are found and built, with a pretended Go: the real one takes minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.binaries import PROGRAMS, Binaries, Missing, versions
from tests.process.processes import ROOT

# It writes down each build, takes a moment over it, and fails in the middle of the one that it is told to.
GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go${GO_VERSION:-1.99.0} linux/amd64"; exit; fi
while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
echo "$1" >>"$GO_JOURNAL"
echo some/package >&2
printf half >"$out"
sleep 0.2
[ "${1##*/}" = "$GO_FAILS" ] && { echo "it does not compile" >&2; exit 2; }
printf '#!/bin/sh\\necho "Kubernetes v0.0.0"\\n' >"$out"
chmod +x "$out"
"""


class Machine:
    """A machine with a Go, an etcd and an empty cache of its own."""

    def __init__(self, folder: Path) -> None:
        """Put the programs where only this test finds them."""
        self.folder = folder
        self.journal = folder / "journal"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.put("go", GO)
        self.put("etcd", "#!/bin/sh\n")
        self.environ = {
            "PATH": f"{self.bin}{os.pathsep}{os.defpath}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "GO_JOURNAL": str(self.journal),
            "PYTHONPATH": str(ROOT),
        }

    def put(self, name: str, text: str, folder: Path | None = None) -> Path:
        """Write a program."""
        program = (folder or self.bin) / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
        return program

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start the builder."""
        command = [sys.executable, "-m", "tests.cluster.binaries", *arguments]
        every = {**self.environ, **environ}
        return subprocess.Popen(command, env=every, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Run the builder and return its exit code and what it printed."""
        with self.start(*arguments, **environ) as process:
            said, _ = process.communicate(timeout=30)
        return process.returncode, said

    def built(self) -> list[str]:
        """Return the names of what Go was asked to build, in order."""
        text = self.journal.read_text() if self.journal.exists() else ""
        return [line.rpartition("/")[2] for line in text.splitlines()]

    def cached(self) -> set[str]:
        """Return the names of all files in the cache."""
        return {one.name for one in (self.folder / "cache").rglob("*") if one.is_file()}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine on which nothing was built."""
    return Machine(tmp_path)


def test_an_empty_cache_is_filled_once(machine: Machine) -> None:
    """Each program is built with a line before and after; the second run builds nothing and says where they are."""
    code, said = machine.run()
    assert code == 0, said
    assert machine.built() == list(PROGRAMS)
    for number, name in enumerate(PROGRAMS, 1):
        assert f"{number} of {len(PROGRAMS)}: {name} v1.34" in said
    assert machine.cached() == {*PROGRAMS, ".lock"}
    code, said = machine.run("--where")
    assert code == 0
    assert [Path(line).name for line in said.split()] == ["etcd", *PROGRAMS]
    assert machine.built() == list(PROGRAMS)


def test_two_builders_at_once_build_each_program_once(machine: Machine) -> None:
    """The later one waits for the earlier one and finds everything done."""
    with machine.start() as one, machine.start() as other:
        said = [process.communicate(timeout=30)[0] for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], said
    assert sorted(machine.built()) == sorted(PROGRAMS)
    assert sum("another build of this version is under way" in text for text in said) == 1


def test_a_failed_build_leaves_nothing_that_could_be_taken_for_a_program(machine: Machine) -> None:
    """The compiler's words are shown; the next run goes on where this one failed."""
    code, said = machine.run(GO_FAILS="kube-controller-manager")
    assert code == 70
    assert "it does not compile" in said
    assert machine.cached() == {"kube-apiserver", ".lock"}
    code, _ = machine.run()
    assert code == 0
    assert machine.built() == ["kube-apiserver", "kube-controller-manager", *PROGRAMS[1:]]


def test_what_envtest_brought_is_used_and_only_the_rest_is_built(machine: Machine) -> None:
    """KUBEBUILDER_ASSETS comes first; what it lacks is told, and another version is told too."""
    assets = machine.folder / "assets"
    api_server = machine.put("kube-apiserver", "#!/bin/sh\necho 'Kubernetes v1.31.0'\n", assets)
    etcd = machine.put("etcd", "#!/bin/sh\n", assets)
    (machine.bin / "etcd").unlink()
    code, said = machine.run(KUBEBUILDER_ASSETS=str(assets))
    assert code == 0, said
    assert machine.built() == list(PROGRAMS[1:])
    assert "Kubernetes v1.31.0, which is not the 1.34 that was asked for" in said
    assert "KUBEBUILDER_ASSETS has no kube-scheduler" in said
    _, said = machine.run("--where", KUBEBUILDER_ASSETS=str(assets))
    assert said.splitlines()[:2] == [str(etcd), str(api_server)]


def test_everything_from_envtest_needs_no_go(machine: Machine) -> None:
    """A machine without Go runs what it was given."""
    assets = machine.folder / "assets"
    for name in ("etcd", *PROGRAMS):
        machine.put(name, "#!/bin/sh\n", assets)
    (machine.bin / "go").unlink()
    code, said = machine.run(KUBEBUILDER_ASSETS=str(assets), PATH=str(machine.bin))
    assert code == 0, said


def test_what_is_missing_is_told_with_its_remedy(machine: Machine) -> None:
    """No Go, an old Go, no etcd, an unknown version: a sentence and exit code 69, never a traceback."""
    without = {"PATH": str(machine.bin)}
    code, said = machine.run(GO_VERSION="1.19.8")
    assert (code, "Kubernetes 1.34 needs Go 1.24" in said, "go1.19.8" in said) == (69, True, True)
    code, said = machine.run("--version", "1.2")
    assert (code, f"choose one of {', '.join(versions())}" in said) == (69, True)
    assert machine.run()[0] == 0
    (machine.bin / "etcd").unlink()
    code, said = machine.run(**without)
    assert (code, "apt-get install etcd-server" in said) == (69, True)
    (machine.bin / "go").unlink()
    code, said = machine.run(**without)
    assert (code, "there is no Go; to get it: install Go 1.24" in said) == (69, True)
    assert "Traceback" not in said


def test_a_program_that_was_not_built_is_told_with_the_command(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking for one never builds: the message of the skipped test says what would."""
    for name, value in machine.environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Missing, match=r"python -m tests\.cluster\.binaries --version 1\.34"):
        Binaries("1.34").find("kube-apiserver")
    assert machine.built() == []


@pytest.mark.parametrize("version", versions())
def test_a_module_names_no_address_and_one_version(version: str) -> None:
    """Every staging module has the version of Kubernetes itself, and nothing says where modules come from."""
    text = (ROOT / "tests/cluster/kubernetes" / version / "go.mod").read_text()
    assert "//" not in text.replace("// indirect", "")
    minor, patch = Binaries(version).release.removeprefix("v1.").split(".")
    replaced = [line.split()[-1] for line in text.splitlines() if "=>" in line]
    assert len(replaced) > 25
    assert set(replaced) == {f"v0.{minor}.{patch}"}
