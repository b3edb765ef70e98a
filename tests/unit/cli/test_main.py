"""The command line itself: help, mistakes, exit codes, and what check-config prints."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sidecar import __version__, cli
from sidecar.cli import COMMANDS, Command, main
from sidecar.cli.options import add_settings, load
from sidecar.cli.parser import Parser
from sidecar.cli.table import aligned
from sidecar.config import SETTINGS
from sidecar.core.reasons import Failure
from sidecar.errors import ActivationOutage, ActivationRefused, Misconfigured

KEY = "CL11-CL12-CL13-CL14-CL15-CL16-CL17"
Written = Callable[[], tuple[str, str]]


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what this machine may say about settings."""
    for name in [name for name in os.environ if name.startswith("LICENSE_SIDECAR_")]:
        monkeypatch.delenv(name)


def exit_code(arguments: list[str]) -> int:
    """Run and return the exit code, whether it is returned or raised (argparse raises it)."""
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def test_help_names_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """--help goes to standard output and is a success."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert all(f"{code}  " in text for code in (0, 64, 69, 70, 77, 78))


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"license-sidecar {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "usage: license-sidecar"),
        (["rnu"], "there is no command 'rnu': did you mean run?"),
        (["banana"], "the commands are run,"),
        (
            ["--activation-url", "x", "run"],
            "options stand behind the command: license-sidecar COMMAND --activation-url",
        ),
        (["check-config", "--lease-renw", "3"], "there is no option --lease-renw: did you mean --lease-renew?"),
        (["check-config", "--lease-ren", "3"], "there is no option --lease-ren"),
        (["check-config", "extra"], "1 argument too many"),
        (["check-config", "--lease-renew"], "expected one argument"),
        (["check-config", "--output", "jsn"], "did you mean json?"),
        (["probe"], "required: startup|ready|live"),
        (["probe", "redy"], "did you mean ready?"),
        (["probe", "live", "--port", "0"], "a port is a number of 1 to 65535"),
        (["wait", "--timeout", "soon"], "not a duration"),
    ],
)
def test_wrong_usage_is_64_with_a_hint(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], bare_environment: None
) -> None:
    """Told on standard error, with what was probably meant."""
    assert exit_code(arguments) == 64
    written = capsys.readouterr()
    assert told in written.err
    assert written.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [KEY],
        [f"--key={KEY}", "run"],
        ["check-config", f"--key-value={KEY}"],
        ["check-config", "--kye", KEY],
        ["probe", KEY],
        ["check-config", "--lease-renew", KEY],
    ],
    ids=["command", "option first", "unknown with =", "unknown", "choice", "wrong setting"],
)
def test_NO_SECRET_a_key_on_the_command_line_is_not_repeated(  # noqa: N802 - the invariant's name
    arguments: list[str], capsys: pytest.CaptureFixture[str], bare_environment: None
) -> None:
    """Whoever puts a key where it does not belong is told so without it."""
    assert exit_code(arguments) in {64, 78}
    written = capsys.readouterr()
    assert "CL13" not in written.err + written.out


class Failing(ModuleType):
    """A command that ends as the test says."""

    error: BaseException

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare nothing."""

    def run(self, arguments: argparse.Namespace) -> int:
        raise self.error


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    """Register a command of the test's own as any other."""
    module = Failing("sidecar.cli.failing")
    monkeypatch.setitem(sys.modules, "sidecar.cli.failing", module)
    monkeypatch.setitem(cli.COMMANDS, "fail", Command("failing", ""))
    return module


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Misconfigured("one", f"two {KEY}"), 78),
        (ActivationRefused(Failure.NO_SEATS, f"no seats for {KEY}"), 77),
        (ActivationOutage(Failure.NETWORK, f"no route to ?key={KEY}", sent=False), 69),
        (ValueError(KEY), 70),
        (KeyboardInterrupt(), 130),
    ],
    ids=["misconfigured", "refused", "outage", "bug", "interrupt"],
)
def test_every_failure_has_its_exit_code_and_no_secret(
    error: BaseException, code: int, failing: Failing, capsys: pytest.CaptureFixture[str]
) -> None:
    """design.md section 7; only a bug shows a traceback."""
    failing.error = error
    assert main(["fail"]) == code
    told = capsys.readouterr().err
    assert "CL13" not in told
    assert ("Traceback" in told) == (code == 70)
    assert ("Local" in told) is False


def test_every_fault_of_the_settings_is_listed(failing: Failing, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each."""
    failing.error = Misconfigured("a.b: wrong", "c.d: wrong")
    assert main(["fail"]) == 78
    assert capsys.readouterr().err == "license-sidecar: the settings have 2 faults\n  - a.b: wrong\n  - c.d: wrong\n"


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    """``check-config | head -1`` ends quietly."""
    command = f"{sys.executable} -m sidecar check-config --docs | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "# Settings\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    """Each module of the table is there, and its help says more than its options."""
    # A process of its own: `run` takes the signals over before anything else.
    command = [sys.executable, "-m", "sidecar", name, "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"usage: license-sidecar {name} ")
    assert len(ended.stdout.splitlines()) > 5
    assert "``" not in ended.stdout
    usage, description, *_ = ended.stdout.split("\n\n")
    assert len(usage.splitlines()) < 6
    assert description.splitlines()[0].endswith(".") or description.splitlines()[0].endswith(",")
    assert re.search(r"^Exit codes?: 0", ended.stdout, re.MULTILINE)


def test_check_config_prints_every_setting_with_its_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, bare_environment: None
) -> None:
    """Aligned for a person; folders that are missing are a warning, not a fault."""
    path = tmp_path / "sidecar.yaml"
    path.write_text(f"ledger: {{kind: file, dir: {tmp_path}}}\nkey.dir: {tmp_path}/absent\n")
    monkeypatch.setenv("LICENSE_SIDECAR_LEASE_RENEW", "3")
    assert main(["check-config", "--config", str(path), "--http-port", "0"]) == 0
    written = capsys.readouterr()
    table = {line.split()[0]: line.split()[1:] for line in written.out.splitlines()}
    assert set(SETTINGS) <= set(table)
    assert table["lease.renew"] == ["3s", "LICENSE_SIDECAR_LEASE_RENEW"]
    assert table["http.port"] == ["0", "--http-port"]
    assert table["ledger.dir"] == [str(tmp_path), "sidecar.yaml:1"]
    assert written.out.splitlines()[-1].startswith("warning: key.dir (sidecar.yaml:2): ")
    assert len({line.index(line.split()[1]) for line in written.out.splitlines()[:-1]}) == 1
    (tmp_path / "absent").mkdir()
    assert main(["check-config", "--config", str(path)]) == 0
    assert "absent has no file named value (yet)" in capsys.readouterr().out
    (tmp_path / "absent" / "value").touch()
    assert main(["check-config", "--config", str(path)]) == 0
    assert "warning" not in capsys.readouterr().out


def test_check_config_for_a_program_is_json(capsys: pytest.CaptureFixture[str], bare_environment: None) -> None:
    """Values with their types and origins; or the faults, with exit code 78 as well."""
    assert main(["check-config", "--output", "json", "--ledger-kind", "file"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["lease.renew"] == {"value": 15.0, "origin": "default"}
    assert told["settings"]["readiness.require"]["value"] == ["license", "database"]
    assert told["settings"]["key.dir"]["value"] == "/run/secrets/license"
    assert main(["check-config", "--output", "json", "--lease-renew", "x", "--lease-duration", "x"]) == 78
    assert len(json.loads(capsys.readouterr().out)["faults"]) == 2


def test_a_command_may_show_only_the_settings_that_concern_it() -> None:
    """The flags of the others work all the same."""
    parser = Parser(prog="x")
    add_settings(parser, shown=("ledger",))
    out = io.StringIO()
    parser.print_help(out)
    assert "--ledger-dir" in out.getvalue()
    assert "--lease-renew" not in out.getvalue()
    arguments: Any = parser.parse_args(["--lease-renew", "4", "--ledger-kind", "file"])
    assert load(arguments, {}).lease.renew == 4


def test_columns_are_aligned_and_nothing_moves_the_cursor() -> None:
    """Two spaces apart, no padding at the end, control characters gone."""
    assert aligned([("a", "bb", "c"), ("aaa", "b"), ("a\x1b", "", "x\ny")]) == "a    bb  c\naaa  b\na        x y\n"
    assert aligned([]) == ""
