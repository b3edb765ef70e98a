"""The fixtures that others import: started as documented in a project that has nothing of ours but the package."""

import json
import subprocess
import sys
import urllib.request
from http import HTTPStatus
from pathlib import Path

import pytest

from mock_activation.in_process import MockProcess, StartError
from mock_activation.in_thread import MockInThread
from mock_activation.server import ListenError
from tests.unit.mock.vendor_client import KEY, A, expect_no_key

pytest_plugins = ["pytester"]

SUITE = f"""
    import urllib.request
    from mock_activation.pool import KeySpec, KeyState

    KEY = {KEY!r}

    def ask(mock, deployment="{A}"):
        query = f"key={{KEY}}&deployment={{deployment}}&quantity=1"
        with urllib.request.urlopen(f"{{mock.url}}/activation?{{query}}", timeout=5) as answer:
            return answer.reason

    def test_thread(mock_activation):
        mock, other = mock_activation({{KEY: 1}}), mock_activation({{KEY: KeySpec(1, KeyState.EXPIRED)}}, prefix="/x")
        assert ask(mock) == "Ok"
        assert ask(other) == "Activation failed"
        assert [used for used, _ in mock.do(lambda inside: inside.pool.used()).values()] == [1]

    def test_process(mock_activation_process):
        mock = mock_activation_process({{KEY: 1}}, "--phrases", "off")
        assert ask(mock) == ""
        mock.kill()
        assert ask(mock_activation_process({{KEY: 1}})) == "Ok"
"""


def test_the_fixtures_can_be_imported(pytester: pytest.Pytester) -> None:
    """One line in conftest.py, no other plugin: servers in threads and as processes, all ended afterwards."""
    pytester.makeconftest('pytest_plugins = ["mock_activation.pytest_plugin"]')
    pytester.makepyfile(SUITE)
    done = pytester.runpytest_subprocess("-p", "no:asyncio", "-W", "error", "-q")
    done.assert_outcomes(passed=2)
    expect_no_key(*done.outlines, *done.errlines)


def test_in_thread_tells_why_it_does_not_start() -> None:
    """A port that is taken is raised where the block is entered; what happens inside comes out."""
    with MockInThread({KEY: 1}) as mock:
        taken = int(mock.url.rsplit(":", 1)[1])
        with pytest.raises(ListenError), MockInThread(port=taken):
            pytest.fail("it started")
        with pytest.raises(ZeroDivisionError):
            mock.do(lambda inside: 1 / len(inside.journal.entries()))
        assert mock.ca_pem is None
        with urllib.request.urlopen(f"{mock.control_url}/health", timeout=5) as answer:
            assert (answer.status, json.load(answer)["status"]) == (HTTPStatus.OK, "ok")


def test_in_process_tells_why_it_does_not_start(tmp_path: Path) -> None:
    """What the command printed is the exception's text, and nothing is left running."""
    broken = tmp_path / "state"
    broken.write_text("no state")
    with (
        pytest.raises(StartError, match="not a state file"),
        MockProcess({KEY: 1}, "--state", str(broken), folder=tmp_path),
    ):
        pytest.fail("it started")
    assert (tmp_path / "mock-keys.yaml").stat().st_mode & 0o077 == 0


def test_pytest_is_loaded_by_nothing_else() -> None:
    """The package works where pytest is not installed."""
    code = (
        "import sys, mock_activation.in_thread, mock_activation.in_process, mock_activation.serve;"
        "sys.exit('pytest' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
