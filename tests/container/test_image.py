"""The image as Kubernetes would run it: a number for a user, nothing to write to, no capability, no shell."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.container.conftest import BUILD_LIMIT, command

HARDENED = (
    *("--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
    *("--network", "none", "--pids-limit", "64"),
)

LOAD_EVERYTHING = """
import importlib, json, os, pkgutil, sys
import mock_activation, sidecar
for package in (sidecar, mock_activation):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith(("__main__", ".pytest_plugin")):  # the second is for those who have pytest
            importlib.import_module(found.name)
specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
loaded = [spec for spec in specs if spec and (spec.origin or "").endswith(".py")]
print(json.dumps({
    "loaded": len(loaded),
    "sidecar": sum(spec.name.startswith("sidecar") for spec in loaded),
    "without": sorted(spec.name for spec in loaded if not os.path.exists(spec.cached or "")),
}))
"""

FIND_WRITABLE = """
import json, os
device, writable = os.stat("/").st_dev, []
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == device]
    if os.access(folder, os.W_OK):
        writable.append(folder)
    writable += [p for p in (os.path.join(folder, n) for n in files) if not os.path.islink(p) and os.access(p, os.W_OK)]
print(json.dumps(writable))
"""


def python(engine: Any, image: str, code: str, *options: str) -> Any:
    """Run Python code in the image and return the JSON that it prints."""
    return json.loads(engine.run("run", *HARDENED, *options, "--entrypoint", "python3", image, "-c", code))


@pytest.mark.parametrize("name", ["license-sidecar", "mock-activation"])
def test_both_commands_start_hardened(engine: Any, image: str, name: str) -> None:
    """Each command tells its version with a read-only root, no capability and no network."""
    assert engine.run("run", *HARDENED, "--entrypoint", name, image, "--version").split()


def test_user_is_a_number_and_not_root(engine: Any, image: str) -> None:
    """Kubernetes can check runAsNonRoot only against a number."""
    user, group = engine.inspect(image)["Config"]["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_health_check_and_entry_point_need_no_shell(engine: Any, image: str) -> None:
    """Both are in the exec form, and what the health check starts exists."""
    config = engine.inspect(image)["Config"]
    assert config["Entrypoint"] == ["license-sidecar"]
    assert config["Cmd"] == ["run"]
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "license-sidecar"]
    assert "probe" in engine.run("run", *HARDENED, image, *config["Healthcheck"]["Test"][2:-1], "--help")


def test_every_module_has_its_bytecode(engine: Any, image: str) -> None:
    """Nothing is compiled at start: a read-only root would throw it away each time."""
    seen = python(engine, image, LOAD_EVERYTHING)
    assert seen["sidecar"] > 10
    assert seen["without"] == []


def test_nothing_but_data_folders_is_writable(engine: Any, image: str) -> None:
    """Even without a read-only root the user can change nothing that is run."""
    found = json.loads(
        engine.run("run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", FIND_WRITABLE)
    )
    assert {"/var/lib/license-sidecar", "/run/license-sidecar"} <= set(found)
    assert set(found) <= {
        *("/var/lib/license-sidecar", "/run/license-sidecar"),
        *("/tmp", "/var/tmp", "/run/lock"),  # noqa: S108 - world-writable in every base image; read-only in use
    }


def test_image_carries_no_build_tools_and_no_pip_settings(engine: Any, image: str) -> None:
    """What pip needed on the machine that built stays there."""
    code = (
        "import importlib.util as u, json, os;"
        "print(json.dumps([n for n in ('hatchling', 'pip', 'setuptools', 'trove_classifiers') if u.find_spec(n)]"
        " + [p for p in ('/etc/pip.conf', '/build', '/root/.config/pip') if os.path.exists(p)]))"
    )
    assert python(engine, image, code) == []


def test_the_mock_has_an_image_of_its_own(engine: Any) -> None:
    """``--target mock-activation`` serves by itself, hardened as it is, on the ports that the docs publish."""
    name = f"mock-activation:test-{os.getpid()}"
    command("make", "image", f"IMAGE={name}", "TARGET=mock-activation", limit=BUILD_LIMIT)
    try:
        config = engine.inspect(name)["Config"]
        assert config["Entrypoint"] == ["mock-activation"]
        assert config["Cmd"] == ["serve", "--host", "0.0.0.0"]
        assert set(config["ExposedPorts"]) == {"8480/tcp", "8481/tcp"}
        assert "Healthcheck" not in config
        code = (
            "import json, subprocess, urllib.request;"
            "p = subprocess.Popen(['mock-activation', 'serve'], stdout=subprocess.PIPE);"
            "url = json.loads(p.stdout.readline())['control_url'];"
            "print(json.dumps(json.load(urllib.request.urlopen(url + '/health'))['status']))"
        )
        assert python(engine, name, code) == "ok"
    finally:
        engine.run("rmi", "--force", name, check=False)
