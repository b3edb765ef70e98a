"""What the libraries load, seen in a process of its own: this one has loaded rich long ago."""

from __future__ import annotations

import importlib
import os
import ssl
import subprocess
import sys

import pytest

from sidecar.adapters.lean_imports import bare_packages, light_aiohttp, remember_absent

LOOK = """
import sys
{imports}
unwanted = ("click", "rich", "pygments")
print(sorted(name for name in sys.modules if name.split(".")[0] in unwanted))
"""


def loaded_after(imports: str) -> str:
    """Run the imports in a fresh interpreter and return the unwanted modules as text."""
    run = subprocess.run(
        [sys.executable, "-c", LOOK.format(imports=imports)], check=True, capture_output=True, text=True, timeout=30
    )
    return run.stdout.strip()


@pytest.mark.parametrize("library", ["httpx", "structlog", "structlog, httpx"])
def test_libraries_load_lean(library: str) -> None:
    """Inside of ``lean`` neither httpx nor structlog load click, rich or pygments, installed or not."""
    assert loaded_after(f"from sidecar.adapters.lean_imports import lean\nwith lean():\n    import {library}") == "[]"


@pytest.mark.parametrize("module", ["activation_server", "icap_server"])
def test_adapters_load_lean(module: str) -> None:
    """Importing an adapter is enough: it guards its own import of httpx."""
    assert loaded_after(f"import sidecar.adapters.{module}") == "[]"


def test_guard_leaves_nothing_behind() -> None:
    """After the block the packages can be imported as usual."""
    pytest.importorskip("pygments", reason="pip install pygments")
    assert loaded_after("from sidecar.adapters.lean_imports import lean\nwith lean(): pass\nimport pygments") != "[]"


def test_guard_keeps_what_is_loaded() -> None:
    """A package that was loaded before the block is still there inside and after it."""
    pytest.importorskip("pygments", reason="pip install pygments")
    inside = (
        "import pygments\nfrom sidecar.adapters.lean_imports import lean\nwith lean():\n    import pygments as again"
    )
    assert loaded_after(f"{inside}\nassert again is sys.modules['pygments']") != "[]"


def test_default_contexts_made_inside_of_the_block_trust_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What aiohttp makes for itself when it is imported loads nothing; afterwards the environment is as before."""
    monkeypatch.setenv("SSL_CERT_DIR", "/somewhere")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with light_aiohttp():
        context = ssl.create_default_context()
    assert context.cert_store_stats() == {"x509": 0, "crl": 0, "x509_ca": 0}
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert os.environ["SSL_CERT_DIR"] == "/somewhere"
    assert "SSL_CERT_FILE" not in os.environ


def test_the_web_server_loads_light() -> None:
    """What aiohttp makes at import costs no memory, and would rather fail than trust; no C++ is loaded."""
    look = (
        "import sidecar.observe.web, aiohttp.connector as it, ssl\n"
        "contexts = [each for each in vars(it).values() if isinstance(each, ssl.SSLContext)]\n"
        "print(len(contexts) > 0, {each.cert_store_stats()['x509'] for each in contexts})\n"
        "print('libstdc++' in open('/proc/self/maps').read())"
    )
    run = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True, timeout=30)
    assert run.stdout.splitlines() == ["True {0}", "False"]


def test_a_package_that_is_not_there_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that tries to import something ten times a request searches for it once."""
    name = "a_package_that_is_not_there"
    monkeypatch.delitem(sys.modules, name, raising=False)
    remember_absent(name, "json")
    monkeypatch.setattr(sys, "path", None)  # a search would fail over it
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)
    assert sys.modules["json"] is not None
    del sys.modules[name]


KUBERNETES = """
import sys
{imports}
print(sorted(name for name in sys.modules if name.split(".")[0] == "kubernetes_asyncio"))
import kubernetes_asyncio.client
print(hasattr(kubernetes_asyncio.client, "CoreV1Api"))
"""
IN_KUBERNETES = "from sidecar.adapters import kubernetes_api, lease_ledger, pod_journal, pods, service_account"


def kubernetes_after(imports: str) -> list[str]:
    """Run the imports in a fresh interpreter; return what is loaded of the client, and whether it can still be."""
    look = [sys.executable, "-c", KUBERNETES.format(imports=imports)]
    run = subprocess.run(look, check=True, capture_output=True, text=True, timeout=120)
    return run.stdout.splitlines()


def test_nothing_of_the_kubernetes_client_stays_loaded() -> None:
    """860 modules for one that is wanted; and who imports the package later gets the real one."""
    everything = (
        f"{IN_KUBERNETES}\nimport sidecar.wiring, sidecar.ledgers, sidecar.observe.web, sidecar.observe.pod_events"
    )
    assert kubernetes_after(everything) == ["[]", "True"]


def test_only_the_transport_is_loaded_at_all() -> None:
    """Seen by an audit of what is executed: the module of the transport, and the exceptions that it raises."""
    look = (
        "import sys\n"
        "seen = set()\n"
        "class Watch:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.split('.')[0] == 'kubernetes_asyncio': seen.add(name)\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"{IN_KUBERNETES}\n"
        "print(sorted(seen))"
    )
    run = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "['kubernetes_asyncio.client.exceptions', 'kubernetes_asyncio.client.rest']"


def test_a_client_that_is_loaded_already_is_used_as_it_is() -> None:
    """The ordinary import runs, and nothing of it is taken away."""
    loaded, works = kubernetes_after(f"import kubernetes_asyncio.client\n{IN_KUBERNETES}")
    assert "'kubernetes_asyncio.client.rest'" in loaded
    assert works == "True"


def test_bare_packages_leave_alone_what_is_none() -> None:
    """A single module, or a name that is not installed: the import inside decides."""
    before = set(sys.modules)
    with bare_packages("this", "a_package_that_is_not_there"):
        assert "this" not in sys.modules
    with bare_packages("a_package_that_is_not_there", "a_package_that_is_not_there.inner"):
        pass
    with bare_packages("email"):
        import email as loaded  # noqa: PLC0415 - inside of the block
    assert loaded is sys.modules["email"]
    assert {name for name in set(sys.modules) - before if name.startswith("a_package")} == set()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sidecar.cli.parser", "bz2 lzma"),
        ("sidecar.observe.metrics", "http.server socketserver wsgiref prometheus_client.exposition"),
    ],
)
def test_what_run_never_needs_is_not_loaded(module: str, absent: str) -> None:
    """Parts of libraries that only an archiver or another web server would use."""
    look = f"import sys, {module}\nassert not set({absent.split()}) & set(sys.modules)\nimport shutil, bz2"
    run = subprocess.run([sys.executable, "-c", look], check=False, capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr) == (0, "")
