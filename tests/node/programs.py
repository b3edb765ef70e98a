"""The programs of a real node: found or built, and told with the command that brings them.

    python -m tests.node.programs

builds kubelet and kube-proxy (two minutes; seconds later) beside the control plane's programs. containerd, runc and the
rest come from Debian's packages. It starts nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.cluster.binaries import DEFAULT_VERSION, PROGRAMS, Binaries, Missing

MODULES: Final = Path(__file__).resolve().parent / "kubernetes"
NODE_PROGRAMS: Final = ("kubelet", "kube-proxy")
IMAGE: Final = "LICENSE_SIDECAR_NODE_IMAGE"
"""The variable that names the file of our image."""
CNI: Final = Path("/usr/lib/cni")
_PLUGINS: Final = ("ptp", "host-local", "portmap", "loopback")
# What must be in the PATH, and the Debian package that brings it.
_DEBIAN: Final = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "gcc": "gcc",
    "docker": "docker.io",
    "debootstrap": "debootstrap",
}


def node_binaries(version: str = DEFAULT_VERSION) -> Binaries:
    """Return the programs that Kubernetes runs on a node."""
    return Binaries(version, modules=MODULES, builder="tests.node.programs")


def require_machine() -> None:
    """Make sure that this machine can be a node.

    Raises:
        Missing: it cannot; the text says what brings it.

    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Missing("a node needs Linux and root", "run it as root on a machine or in a virtual machine for that")
    packages = {package for program, package in _DEBIAN.items() if shutil.which(program) is None}
    if not all((CNI / plugin).exists() for plugin in _PLUGINS):
        packages.add("containernetworking-plugins")
    if packages:
        wanted = " ".join(sorted(packages))
        raise Missing(f"a node needs {wanted}", f"apt-get install --no-install-recommends {wanted}")


def main(words: Sequence[str] | None = None) -> int:
    """Build what is missing, and say what cannot be built."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", default=DEFAULT_VERSION)
    version = parser.parse_args(words).version
    try:
        Binaries(version).build(PROGRAMS)
        node_binaries(version).build(NODE_PROGRAMS)
        Binaries(version).etcd()
        require_machine()
    except Missing as missing:
        sys.stdout.write(f"{missing}\n")
        return 69
    except subprocess.CalledProcessError:
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main())
