"""The images of a node, as files that containerd imports: there is no registry to pull from.

Ours is what ``.ci/node-image`` built from this tree. The one that holds a pod's namespaces is made here: a program that
waits, in one layer.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path
from typing import Final

OURS: Final = "license-sidecar:node"
"""What the chart is told; the runtime knows it under its full name."""
PAUSE: Final = "license-sidecar.invalid/pause:1"
_ARCHITECTURE: Final = {"x86_64": "amd64", "aarch64": "arm64"}
# The first process of a pod: it reaps what its containers leave behind, and ends when it is told to.
_PAUSE_C: Final = """
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int number) { _exit(0); }
static void reap(int number) { while (waitpid(-1, NULL, WNOHANG) > 0) { } }

int main(void) {
  signal(SIGTERM, end);
  signal(SIGINT, end);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
"""


def pause_image(folder: Path) -> Path:
    """Make the image of the process that holds a pod's namespaces, and return its file."""
    source, program = folder / "pause.c", folder / "pause"
    source.write_text(_PAUSE_C)
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", program, source], check=True, capture_output=True, text=True)
    layer = _tar({"pause": program.read_bytes()}, mode=0o755)
    config = json.dumps(
        {
            "architecture": _ARCHITECTURE.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]).encode()
    image = folder / "pause.tar"
    image.write_bytes(_tar({"layer.tar": layer, "config.json": config, "manifest.json": manifest}))
    return image


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()
