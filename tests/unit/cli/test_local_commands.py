"""probe, wait and status: one question to the running sidecar, cheaply."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import main
from sidecar.cli.local import port_of
from sidecar.cli.status import rows
from sidecar.cli.wait import explain


@pytest.mark.parametrize(("question", "path"), [("startup", "/startupz"), ("ready", "/readyz"), ("live", "/livez")])
def test_a_probe_prints_the_line_and_succeeds_on_200_only(
    question: str, path: str, sidecar: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 for yes, 69 for no; the reason is printed both times."""
    sidecar.answers[path] = [(200, "ok: the seat is ours\n"), (503, "no: waiting for a seat\n")]
    assert main(["probe", question, "--port", str(sidecar.port)]) == 0
    assert capsys.readouterr().out == "ok: the seat is ours\n"
    assert main(["probe", question, "--port", str(sidecar.port)]) == 69
    assert capsys.readouterr().out == "no: waiting for a seat\n"
    assert sidecar.asked == [path, path]


def test_a_probe_without_a_sidecar_says_so(closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, exit code 69, no traceback."""
    assert main(["probe", "live", "--port", str(closed_port)]) == 69
    assert capsys.readouterr().err == (
        f"no sidecar answers on port {closed_port} of this host: Connection refused "
        "(another port: --http-port or --config)\n"
    )


def test_a_probe_finds_a_sidecar_that_listens_on_ipv6_only(sidecar_on_ipv6: Any) -> None:
    """IPv4 first, then IPv6."""
    sidecar_on_ipv6.answers["/livez"] = [(200, "ok")]
    assert main(["probe", "live", "--port", str(sidecar_on_ipv6.port)]) == 0


@pytest.mark.parametrize(
    ("reply", "told"),
    [(b"", "does not speak HTTP"), (b"SSH-2.0\r\n", "does not speak HTTP"), (None, "no answer within 0.1 s")],
)
def test_a_probe_survives_what_is_no_sidecar(
    reply: bytes | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Something else on the port, or something that hangs, is "unreachable" too."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                if reply is None:
                    connection.recv(1000)
                else:
                    connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        assert main(["probe", "live", "--port", str(server.getsockname()[1]), "--within", "0.1"]) == 69
        thread.join()
    assert told in capsys.readouterr().err


def test_the_port_comes_from_the_setting_unless_a_service_wrote_it(
    sidecar: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LICENSE_SIDECAR_HTTP_PORT counts, but not as tcp://10.0.0.1:9480 (which Kubernetes injects)."""
    sidecar.answers["/livez"] = [(200, "ok")]
    monkeypatch.setenv("LICENSE_SIDECAR_HTTP_PORT", str(sidecar.port))
    assert main(["probe", "live"]) == 0
    monkeypatch.setenv("LICENSE_SIDECAR_HTTP_PORT", "tcp://10.0.0.1:1")
    assert port_of(Namespace(port=None, config=None)) == 9480


@pytest.mark.parametrize("command", [["probe", "live"], ["wait"], ["status"]], ids=" ".join)
@pytest.mark.parametrize("text", ["abc", "0", "70000", "9480.0", "http://127.0.0.1:9480"])
def test_a_port_that_is_none_is_told_and_not_replaced_by_another(
    text: str, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the address of a Service is ignored; who mistypes a port must not be told about another sidecar."""
    monkeypatch.setenv("LICENSE_SIDECAR_HTTP_PORT", text)
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 64
    assert "http.port (LICENSE_SIDECAR_HTTP_PORT): a port is a number of 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["probe", "live"], ["wait", "--timeout", "5s"], ["status"]], ids=" ".join)
def test_the_sidecar_is_found_by_what_run_was_given(
    command: list[str], sidecar: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flag, the variable, the file by flag or variable; the earlier wins, and an older script says --port."""
    for path in ("/livez", "/readyz?verbose", "/status"):
        sidecar.answers[path] = [(200, "{}")]
    file = tmp_path / "sidecar.yaml"
    file.write_text(f"http: {{port: {sidecar.port}}}\nactivation: {{url: nowhere}}\n")
    other = tmp_path / "other.yaml"
    other.write_text("http: {port: 1}\n")
    for name in ("LICENSE_SIDECAR_HTTP_PORT", "LICENSE_SIDECAR_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    assert main([*command, "--config", str(file)]) == 0
    assert main([*command, "--config", str(other), "--http-port", str(sidecar.port)]) == 0
    assert main([*command, "--port", str(sidecar.port)]) == 0
    monkeypatch.setenv("LICENSE_SIDECAR_CONFIG", str(file))
    assert main(command) == 0
    monkeypatch.setenv("LICENSE_SIDECAR_CONFIG", str(other))
    monkeypatch.setenv("LICENSE_SIDECAR_HTTP_PORT", str(sidecar.port))
    assert main(command) == 0
    assert len(sidecar.asked) == 5


def test_a_file_without_a_port_means_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for `run`."""
    monkeypatch.delenv("LICENSE_SIDECAR_HTTP_PORT", raising=False)
    (tmp_path / "sidecar.yaml").write_text("http:\nmode: online\n")
    assert port_of(Namespace(port=None, config=str(tmp_path / "sidecar.yaml"))) == 9480


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (None, 78, "cannot be read (No such file or directory)"),
        ("mode: [", 78, "is not YAML"),
        ("http: {port: abc}", 64, "http.port (sidecar.yaml:1): a port is a number of 1 to 65535"),
    ],
    ids=["no file", "no YAML", "no port"],
)
def test_a_file_that_tells_no_port_is_told(  # noqa: PLR0917 - what is given, what is expected, what it takes
    content: str | None,
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody is asked on a port that was not meant."""
    monkeypatch.delenv("LICENSE_SIDECAR_HTTP_PORT", raising=False)
    file = tmp_path / "sidecar.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit) as end:
        raise SystemExit(main(["status", "--config", str(file)]))
    assert end.value.code == code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [["probe", "ready", "--within"], ["status", "--within"], ["wait", "--within"], ["wait", "--every"]],
    ids=" ".join,
)
@pytest.mark.parametrize("text", ["0", "0s", "0.0h", "-1", "soon"])
def test_a_duration_of_nothing_is_wrong_usage(
    command: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would ask without waiting for the answer, and call that a sidecar that does not answer."""
    with pytest.raises(SystemExit) as end:
        main([*command, text])
    assert end.value.code == 64
    assert "longer than 0" in (told := capsys.readouterr().err) or "not a duration" in told


def test_wait_without_time_asks_once(sidecar: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """As long as one answer may take."""
    sidecar.answers["/readyz?verbose"] = [(503, '{"awaits": "a seat"}'), (200, "{}")]
    assert main(["wait", "--timeout", "0", "--port", str(sidecar.port)]) == 69
    assert "not ready within 0 s: a seat" in capsys.readouterr().err
    assert main(["wait", "--timeout", "0", "--port", str(sidecar.port)]) == 0


def test_wait_returns_as_soon_as_the_answer_is_yes(sidecar: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Meanwhile each new reason is told once."""
    waiting = json.dumps({"ready": False, "awaits": ["a free seat"]})
    sidecar.answers["/readyz?verbose"] = [(503, waiting), (503, waiting), (503, "starting"), (200, "{}")]
    assert main(["wait", "--every", "1ms", "--port", str(sidecar.port)]) == 0
    written = capsys.readouterr()
    assert written.err == "waiting: a free seat\nwaiting: starting\n"
    assert written.out.startswith("ready after ")


def test_wait_gives_up_in_time_and_says_why(sidecar: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 69 and the last reason."""
    sidecar.answers["/startupz?verbose"] = [(503, '{"reasons": {"key": "missing"}}')]
    assert main(["wait", "--for", "startup", "--timeout", "50ms", "--every", "10ms", "--port", str(sidecar.port)]) == 69
    assert "not startup within 0.05 s: key: missing" in capsys.readouterr().err


def test_wait_waits_for_a_sidecar_that_is_not_there_yet(closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody listening is a reason like others."""
    assert main(["wait", "--timeout", "20ms", "--every", "5ms", "--port", str(closed_port)]) == 69
    assert "no sidecar answers" in capsys.readouterr().err


def test_wait_writes_over_one_line_on_a_terminal(sidecar: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sees the time pass and the reason, and the line is gone at the end."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    sidecar.answers["/readyz?verbose"] = [(503, '{"awaits": "a seat"}'), (200, "{}")]
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert main(["wait", "--every", "1ms", "--port", str(sidecar.port)]) == 0
    assert "\rwaiting for 0 s: a seat" in terminal.getvalue()
    assert terminal.getvalue().endswith(" \r")
    assert "\n" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no: starting\n", "no: starting"),
        ('{"awaits": "a key"}', "a key"),
        ('{"awaits": "", "reasons": ["a", {"b": "c"}]}', "a; b: c"),
        ('{"stage": "waiting", "awaits": "a seat", "reasons": ["all are in use"]}', "a seat: all are in use"),
        ('{"awaits": "the app", "reasons": ["waits for the app", "app: refused"]}', "waits for the app; app: refused"),
        ('{"something": "else"}', '{"something": "else"}'),
        ("", "no reason given"),
        ("a\x1b[2Jb", "a [2Jb"),
    ],
)
def test_the_reason_is_found_in_any_answer(body: str, reason: str) -> None:
    """The verbose answer is an object; what is none is shown as it is."""
    assert explain(body) == reason


STATUS = {
    "state": "active",
    "ready": True,
    "seat": {"deployment_id": "MSCL1", "renewed_at": 1_700_000_000.0, "claim": None},
    "errors": [{"what": "no\x1bseats"}, {"what": "timeout"}],
    "waits": ["a", "b"],
    "attempt": 3,
    "pause": 1.25,
    "empty": {},
}


def test_status_is_a_table_for_a_person(sidecar: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Nested values are named with points and aligned; nothing moves the cursor."""
    sidecar.answers["/status"] = [(200, json.dumps(STATUS))]
    assert main(["status", "--port", str(sidecar.port)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "state               active"
    assert "seat.deployment_id  MSCL1" in lines
    assert "errors.1.what       no seats" in lines
    assert "waits               a, b" in lines
    assert "ready               yes" in lines


def test_times_have_an_age() -> None:
    """A person wants to know how long ago."""
    shown = dict(rows(STATUS, 1_700_000_012.0))
    assert shown["seat.renewed_at"] == "2023-11-14T22:13:20Z (12 s ago)"
    assert dict(rows(STATUS, 1_699_999_990.0))["seat.renewed_at"].endswith("(10 s from now)")
    assert shown["seat.claim"] == "-"
    assert shown["empty"] == "-"
    assert shown["pause"] == "1.25"


def test_status_for_a_program_is_the_object_itself(sidecar: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is left out or renamed."""
    sidecar.answers["/status"] = [(200, json.dumps(STATUS))]
    assert main(["status", "--output", "json", "--port", str(sidecar.port)]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


@pytest.mark.parametrize("answer", [(404, "{}"), (200, "<html>"), (200, "[1]")])
def test_what_has_no_status_is_no_sidecar(
    answer: tuple[int, str], sidecar: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another server on the port is told as such."""
    sidecar.answers["/status"] = [answer]
    assert main(["status", "--port", str(sidecar.port)]) == 69
    assert "is no sidecar" in capsys.readouterr().err


def test_status_without_a_sidecar_says_so(closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence and exit code 69."""
    assert main(["status", "--port", str(closed_port)]) == 69
    assert "no sidecar answers" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["probe", "live"], ["wait", "--timeout", "1ms"], ["status"]])
def test_the_cheap_commands_load_next_to_nothing(command: list[str], closed_port: int) -> None:
    """They run every few seconds: no asyncio, no HTTP library, no YAML, no settings, no dataclasses."""
    program = f"""
import sys
from sidecar.cli import main
assert main({[*command, "--port", str(closed_port)]!r}) == 69
heavy = "asyncio httpx aiohttp yaml structlog dataclasses sidecar.config sidecar.errors sidecar.secrets"
sys.stdout.write(",".join(sorted(set(heavy.split()) & set(sys.modules))))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
