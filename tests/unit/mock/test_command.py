"""``mock-activation`` as a process and as a command line: what it prints, how it ends."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mock_activation.cli import COMMANDS, run
from mock_activation.secrecy import fingerprint
from tests.unit.mock.vendor_client import KEY, A, expect_no_key

COMMAND = (sys.executable, "-m", "mock_activation")


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, str]]]:
    """Run ``serve`` on free ports; it has ended when the block is left."""
    with (folder / "stderr").open("w+") as errors:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--control-port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()
            process.communicate()


def stop(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> tuple[int, float, str]:
    """Send a signal; return exit code, seconds until the end, and the rest of what was printed."""
    begin = time.monotonic()
    process.send_signal(number)
    rest, _ = process.communicate(timeout=10)
    return process.returncode, time.monotonic() - begin, rest


def write_keys(folder: Path) -> str:
    """Write a key file."""
    path = folder / "keys.yaml"
    path.write_text(f"keys:\n  - {{key: {KEY}, seats: 1}}\n")
    return str(path)


def test_serve_over_tls_and_a_clean_stop(tmp_path: Path) -> None:
    """One line of JSON, a CA that a client can trust, a ready file while it is ready, exit 0, and no key anywhere."""
    ready, ca = tmp_path / "ready.json", tmp_path / "ca.pem"
    options = ("--keys", write_keys(tmp_path), "--ready-file", str(ready), "--ca-out", str(ca), "--tls-name", "mock")
    with served(tmp_path, *options) as (process, line):
        assert json.loads(ready.read_text()) == line
        assert line["keys"] == [fingerprint(KEY)]
        assert line["pid"] == process.pid
        with urllib.request.urlopen(f"{line['control_url']}/ca.pem", timeout=5) as answer:
            assert answer.read() == ca.read_bytes()
        trust = ssl.create_default_context(cafile=str(ca))
        url = f"{line['url']}/activation?key={KEY}&deployment={A}&quantity=1"
        with urllib.request.urlopen(url, timeout=5, context=trust) as answer:
            assert (answer.status, answer.reason) == (200, "Ok")
        arguments = Path(f"/proc/{process.pid}/cmdline")
        argv = arguments.read_text() if arguments.exists() else ""
        code, seconds, rest = stop(process)
    assert code == 0
    assert seconds < 3
    assert not ready.exists()
    printed = json.dumps(line) + rest + (tmp_path / "stderr").read_text() + argv
    expect_no_key(printed)
    assert (tmp_path / "stderr").read_text() == ""


def test_serve_ends_at_sigint_although_a_request_hangs(tmp_path: Path) -> None:
    """What hangs is cut; the process does not wait for it."""
    with served(tmp_path) as (process, line):
        request = urllib.request.Request(f"{line['control_url']}/faults", b'{"fault": "hang"}', method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 201
        asking = subprocess.Popen(
            [sys.executable, "-c", f"import urllib.request as u; u.urlopen('{line['url']}/activation')"],
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 5
            entries: list[object] = []
            while not entries and time.monotonic() < deadline:
                with urllib.request.urlopen(f"{line['control_url']}/journal", timeout=5) as answer:
                    entries = json.load(answer)["entries"]
            assert len(entries) == 1
            code, seconds, _ = stop(process, signal.SIGINT)
        finally:
            asking.kill()
            asking.wait()
    assert code == 0
    assert seconds < 3


def test_switches_and_prefix_by_option(tmp_path: Path) -> None:
    """The options reach the pool and the routes."""
    options = ("--keys", write_keys(tmp_path), "--unknown-pair", "ok", "--prefix", "/licences")
    with served(tmp_path, *options) as (process, line):
        assert line["url"].endswith("/licences")
        with urllib.request.urlopen(f"{line['url']}/deactivation?key={KEY}&deployment={A}", timeout=5) as answer:
            assert (answer.reason, json.load(answer)) == ("Ok", {"success": True})
        assert stop(process)[0] == 0


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["serve", "--keys", "absent.yaml"], 78, "absent.yaml: No such file or directory"),
        (["serve", "--keys", "broken.yaml"], 78, "entry 1: seats must be"),
        (["serve", "--port", "0", "--control-port", "0", "--ready-file", "no/folder/x"], 78, "no/folder/x: cannot be"),
        (["serve", "--port", "0", "--control-port", "0", "--ca-out", "no/folder/x"], 78, "no/folder/x: cannot be"),
        (["serve", "--host", "256.0.0.1"], 78, "--port: cannot listen on 256.0.0.1:8480"),
        (["serve", "--prefix", "x"], 78, "the prefix must look like /some/path"),
        (["serve", "--port", "65536"], 64, "a port is a number from 0 to 65535"),
        (["serve", "--same-pair", "perhaps"], 64, "invalid choice"),
        (["serve", "--tls-client-ca", "broken.yaml"], 78, "broken.yaml: holds no certificate in PEM form"),
        (["serve", "--control-token-file", "absent"], 78, "absent: No such file or directory"),
        (["serve", "--control-token-file", "broken.yaml"], 78, "broken.yaml: a token must be one printable word"),
        (["serve", "--profile", "sunny"], 64, "invalid choice"),
        (["serve", "--seed", "x"], 64, "a seed is a whole number from 0"),
        (["serve", "--kees", "x"], 64, "unrecognized arguments"),
        (["serve", "--key", "<KEY>"], 64, "unrecognized arguments: --key ***"),
        (["sreve"], 64, "did you mean serve?"),
        (["<KEY>"], 64, "there is no command '***'"),
        ([], 64, "usage: mock-activation"),
    ],
)
def test_bad_input_is_one_clear_message(
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    says: str,
) -> None:
    """64 for the command line, 78 for what it points to; never a traceback, never a key."""
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text(f"keys: [{{key: {KEY}, seats: x}}]")
    try:
        ended = run([option.replace("<KEY>", KEY) for option in options])  # a parameter stands in the test's name
    except SystemExit as end:
        ended = int(end.code or 0)
    out, err = capsys.readouterr()
    assert (ended, out) == (code, "")
    assert says in err
    assert "Traceback" not in err
    expect_no_key(err)


def test_profile_seed_and_token_by_option(tmp_path: Path) -> None:
    """They are in force when the line is printed, and the line tells profile and seed, never the token."""
    (tmp_path / "token").write_text("open-sesame\n")
    options = ("--profile", "captive-portal", "--seed", "42", "--control-token-file", str(tmp_path / "token"))
    with served(tmp_path, *options) as (process, line):
        assert (line["profile"], line["seed"]) == ("captive-portal", 42)
        assert "sesame" not in json.dumps(line)
        with urllib.request.urlopen(f"{line['url']}/activation", timeout=5) as answer:
            assert answer.read().startswith(b"<!DOCTYPE")
        request = urllib.request.Request(f"{line['control_url']}/seed", headers={"Authorization": "Bearer open-sesame"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert json.load(answer) == {"seed": 42}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{line['control_url']}/seed", timeout=5)
        assert stop(process)[0] == 0


def test_taken_port_as_a_process(tmp_path: Path) -> None:
    """Exit 78 with the option and the reason."""
    with served(tmp_path) as (_, line):
        port = line["url"].rsplit(":", 1)[1]
        second = subprocess.run([*COMMAND, "serve", "--port", port], capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (78, "")
    assert second.stderr.startswith(f"mock-activation serve: --port: cannot listen on 127.0.0.1:{port}: ")


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """All commands are listed, each option of serve is explained, and nothing heavy is needed for it."""
    assert (run(["--help"]), run(["--version"])) == (0, 0)
    told = capsys.readouterr().out
    assert [name for name in COMMANDS if f"  {name} " not in told] == []
    with pytest.raises(SystemExit) as end:
        run(["serve", "--help"])
    assert end.value.code == 0
    assert "--unknown-pair" in capsys.readouterr().out


def test_nothing_of_the_sidecar_is_loaded() -> None:
    """The mock never imports the sidecar; help loads no web server, the pool neither."""
    code = (
        "import sys, mock_activation.cli as cli; cli.run(['--help']); import mock_activation.pool;"
        "heavy = [n for n in sys.modules if n.split('.')[0] in ('aiohttp', 'sidecar', 'yaml')];"
        "import mock_activation.serve; heavy += [n for n in sys.modules if n.split('.')[0] == 'sidecar'];"
        "sys.exit(len(heavy))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == 0
