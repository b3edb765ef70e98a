"""What the chart runs for a trial, as processes with the commands of the render: the key alone is enough for a seat."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.chart.helm import CHART
from tests.chart.manifests import Manifest, PodTemplate
from tests.chart.test_render import TESTED, manifest_of
from tests.process.processes import ask, environment

KEY: Final = "FAKE-CI00-ONLY-NOT0-REAL-0003-MOCK"
DEPLOYMENT: Final = "MSIC" + "0" * 31


def trial() -> Manifest:
    """Return the render of a trial with the stand-in app."""
    return manifest_of(4, CHART / "ci" / "stand-in-values.yaml", TESTED)


def mock(manifest: Manifest) -> PodTemplate:
    """Return the mock's pod."""
    return next(it for it in manifest.pods() if it.name == "Deployment/rel-mock-activation")


@contextmanager
def running(container: dict[str, Any], changes: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Run a container's command on this machine, with some of its words changed, and yield the line that it prints."""
    arguments = [changes.get(it, it) for it in container["args"]]
    assert set(changes) <= set(container["args"])
    program = str(Path(sys.executable).parent / container["command"][0])
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, env=environment(), text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(20)


def written_keys(container: dict[str, Any], folder: Path) -> Path:
    """Run the init container that tells the mock the key, on folders of this machine."""
    secret, keys = folder / "license", folder / "mock"
    secret.mkdir()
    keys.mkdir()
    (secret / "value").write_text(f"{KEY}\n", encoding="utf-8")
    script = container["command"][2].replace("/run/secrets/license", str(secret)).replace("/etc/mock", str(keys))
    assert script.count(str(folder)) == 2
    subprocess.run([sys.executable, "-c", script, *container["command"][3:]], check=True, timeout=30)
    return keys / "keys.yaml"


def test_a_seat_can_be_taken_with_the_key_that_was_given(tmp_path: Path) -> None:
    """The mock starts with the key of the Secret and as many seats as were said, and says no to one more."""
    pods = mock(trial())
    file = written_keys(pods.container("keys"), tmp_path)
    changes = {
        "--host=0.0.0.0": "--host=127.0.0.1",
        "--port=8480": "--port=0",
        "--control-port=8481": "--control-port=0",
        "--keys=/etc/mock/keys.yaml": f"--keys={file}",
    }
    with running(pods.container("mock-activation"), changes) as line:
        answers = [
            ask(f"{line['url']}/activation?key={KEY}&deployment={DEPLOYMENT}{number}&quantity=1") for number in range(3)
        ]
        probe = pods.container("mock-activation")["readinessProbe"]["httpGet"]
        assert ask(f"{line['control_url']}{probe['path']}")[0] == 200
    assert [status for status, _ in answers] == [200, 200, 200]
    assert ["error" in text.splitlines()[0] for _, text in answers] == [False, False, True]


def test_the_stand_in_is_there_for_probes_and_sidecar(tmp_path: Path) -> None:
    """It demands the API key of the Secret's file, opens its ports where the kubelet asks, and needs nothing else."""
    container = trial().app.container("md-icapsrv")
    key = tmp_path / "value"
    key.write_text("a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8", encoding="utf-8")
    url = next(it for it in container["args"] if it.startswith("--activation-url="))
    assert url.endswith("=http://rel-mock-activation.ns.svc:8480")
    changes = {
        "--host=0.0.0.0": "--host=127.0.0.1",
        "--port=8048": "--port=0",
        "--icap-port=1344": "--icap-port=0",
        "--control-port=8049": "--control-port=0",
        "--api-key-file=/run/secrets/app/value": f"--api-key-file={key}",
        url: "--activation-url=http://127.0.0.1:1",
    }
    with running(container, changes) as line:
        status, _ = ask(f"{line['url']}/admin/license")
        assert status == 403
        assert line["deployment_id"]
    mounted = {it["mountPath"]: it["name"] for it in container["volumeMounts"]}
    assert mounted["/run/secrets/app"] == "app-api-key"
