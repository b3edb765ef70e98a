"""``mock-activation icap-app`` as a process: its one line, its end, its faults, and what it never prints."""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mock_activation.cli import run as command_line
from mock_activation.icap_app import Settings, configure
from mock_activation.icap_app.command import Faults, settings_from
from mock_activation.icap_app.settings import api_key_fault
from tests.unit.icap_app.conversation import API_KEY, KEY, Client, Vendor, refused, unverified


@dataclass
class Process:
    """The stand-in as a process, with the line that it printed."""

    process: asyncio.subprocess.Process
    line: dict[str, Any]
    output: bytes = b""

    async def end(self) -> int:
        rest, errors = await self.process.communicate()
        self.output += rest + errors
        assert self.process.returncode is not None
        return self.process.returncode

    async def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.end()


@asynccontextmanager
async def started(*arguments: str, **environment: str) -> AsyncIterator[Process]:
    """Start the command on free ports and wait for its line; whatever happens, it ends with the test."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mock_activation", "icap-app", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        yield Process(process, json.loads(line) if line else {}, line)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def licensed(client: Client, app: Process) -> None:
    """Wait until the app has activated itself."""
    async with asyncio.timeout(10):
        while not (await client.get(f"{app.line['control_url']}/state"))[1]["licensed"]:
            await asyncio.sleep(0.01)


def api_key_file(folder: Path) -> str:
    """Write the API key to a file and return its path."""
    path = folder / "api-key"
    path.write_text(f"  {API_KEY}\n")
    return str(path)


async def test_tells_its_addresses_serves_and_goes_at_sigterm(client: Client, tmp_path: Path) -> None:
    """One line of JSON, then the whole of it works, and SIGTERM ends it with 0, though it hangs."""
    ca_file = tmp_path / "ca.pem"
    arguments = ("--tls-after", "0", "--ca-out", str(ca_file), "--api-key-file", api_key_file(tmp_path))
    async with started(*arguments) as app:
        assert set(app.line) == {"url", "icap_url", "control_url", "deployment_id", "seed", "pid"}
        assert app.line["pid"] == app.process.pid
        status, body = await client.get(f"{app.line['url']}/admin/license", key=API_KEY, ssl=unverified())
        assert (status, body["deployment"]) == (200, app.line["deployment_id"])
        assert ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
        assert (await client.post(f"{app.line['control_url']}/hang"))[0] == 200
        async with asyncio.timeout(5):  # a second on an idle machine
            assert await app.terminate() == 0
        assert app.output.count(b"\n") == 1


async def test_the_seed_is_printed_and_the_vendors_cleanup_is_not_played(client: Client) -> None:
    """A run can be replayed by its seed; what needs Kubernetes is told instead of pretended."""
    async with started("--seed", "7", LICENSING_CLEANUP="true") as app:
        assert app.line["seed"] == 7
        assert (await client.get(f"{app.line['control_url']}/faults"))[1] == {"seed": 7, "faults": []}
        assert await app.terminate() == 0
        assert b"LICENSING_CLEANUP is not played" in app.output


async def test_the_vendors_automation_as_a_process_shows_no_key(client: Client, vendor: Vendor, tmp_path: Path) -> None:
    """LICENSE_KEY takes a seat at start and gives it back at SIGTERM; nothing that was printed holds a secret."""
    arguments = ("--activation-url", vendor.url, "--api-key-file", api_key_file(tmp_path))
    async with started(*arguments, LICENSE_KEY=f" {KEY}\n") as app:
        url = f"{app.line['url']}/admin/license"
        await licensed(client, app)
        await client.get(f"{url}?apikey={API_KEY}", key=API_KEY)
        await client.post(f"{url}/activation", {"activationKey": KEY}, key=API_KEY)
        vendor.refuse = True
        await client.post(f"{url}/activation", {"activationKey": KEY, "quantity": "many"}, key=API_KEY)
        await client.post(f"{url}/activation", {"activationKey": KEY}, key=API_KEY)
        vendor.refuse = False
        assert await app.terminate() == 0
    calls = [call.rpartition("/")[2] for call, _, _ in vendor.calls]
    assert calls == ["activation", "activation", "activation", "deactivation"]
    assert b"not activated" in app.output
    shown = any(secret in app.output for secret in (KEY.encode(), API_KEY.encode()))
    assert not shown


@pytest.mark.parametrize(("body", "code"), [({}, 1), ({"hard": True}, -signal.SIGKILL)])
async def test_a_crash_ends_the_process(client: Client, vendor: Vendor, body: dict[str, bool], code: int) -> None:
    """Exit code 1, or SIGKILL; the answer still arrives; nothing is deactivated and the port refuses."""
    async with started("--activation-url", vendor.url, LICENSE_KEY=KEY) as app:
        await licensed(client, app)
        assert await client.post(f"{app.line['control_url']}/crash", body) == (200, {"crashed": True})
        assert await app.end() == code
        assert await refused(int(app.line["url"].rpartition(":")[2]))
    assert [call.rpartition("/")[2] for call, _, _ in vendor.calls] == ["activation"]


def settings_of(*arguments: str, **environment: str) -> Settings:
    """Return what the command makes of its arguments and its environment."""
    parser = argparse.ArgumentParser()
    configure(parser)
    return settings_from(parser.parse_args(arguments), environment)


@pytest.mark.parametrize("text", ["", " \n", "SET_LICENSE_KEY_HERE", "<SET_LICENSE_KEY_HERE>\n"])
def test_a_placeholder_is_no_key(text: str) -> None:
    """The placeholder of the vendor's chart switches no automation on."""
    assert settings_of(LICENSE_KEY=text).license_key is None


def test_without_arguments_it_is_what_a_test_gets() -> None:
    """The defaults of the command and of ``Settings`` are the same."""
    assert settings_of() == Settings()


def test_the_deployment_id_can_come_from_the_environment() -> None:
    """A third policy: whoever starts the container says who it is."""
    given = "MSCL" + "1" * 32
    assert settings_of("--deployment-id", "environment", DEPLOYMENT_ID=f" {given}\n").deployment_id == given
    for wrong in ({}, {"DEPLOYMENT_ID": "with space"}, {"DEPLOYMENT_ID": "keep"}):
        with pytest.raises(Faults, match="DEPLOYMENT_ID in the environment"):
            settings_of("--deployment-id", "environment", **wrong)


def test_durations_may_have_units() -> None:
    """Seconds, minutes, hours, as the sidecar writes them."""
    settings = settings_of("--start-delay", "0.5", "--forbidden-for", "15s", "--tls-after", "2m")
    assert (settings.start_delay, settings.forbidden_for, settings.tls_after) == (0.5, 15.0, 120.0)


async def test_a_bug_in_the_background_ends_the_process_with_70(client: Client, tmp_path: Path) -> None:
    """It does not go on as half an app."""
    async with started("--deployment-id", "keep", "--data", str(tmp_path)) as app:
        (tmp_path / "deployment-id").write_text("no ID at all")
        await client.post(f"{app.line['control_url']}/restart", {"down": 0})
        assert await app.end() == 70
        assert b"task restart of the stand-in failed" in app.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "65536"),
        ("--port", "x"),
        ("--start-delay", "-1"),
        ("--start-delay", "soon"),
        ("--tls-after", "nan"),
        ("--probe-period", "0"),
        ("--deployment-id", "with space"),
        ("--deployment-id", ""),
        ("--deployment-id", "keep"),
        ("--id-prefix", "a-b"),
        ("--missing-fields", "deployment,nothing"),
        ("--missing-fields", ""),
        ("--activation-url", "activation.example.org"),
        ("--activation-url", "ftp://127.0.0.1/"),
        ("--activation-url", f"http://127.0.0.1/activation?key={KEY}"),
        ("--activation-url", "http://[::1"),
        ("--readyz", "other"),
        ("--seed", "-1"),
        ("--seed", "9" * 19),
        ("--unknown", "1"),
    ],
)
def test_wrong_usage_is_64_and_names_the_option(arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A clear sentence on stderr, nothing on stdout, and no key that somebody typed."""
    try:
        code: Any = command_line(["icap-app", *arguments])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    shown = KEY in err
    assert code == 64
    assert arguments[0] in err
    assert out == ""
    assert not shown


@pytest.mark.parametrize(
    ("content", "option", "says"),
    [
        (None, "--api-key-file", "--api-key-file: this file cannot be read (No such file"),
        (b" \n", "--api-key-file", "--api-key-file: this file is empty"),
        (b"\xff\xff", "--api-key-file", "--api-key-file: this file cannot be read (UnicodeDecodeError"),
        pytest.param(
            b"0" * 36, "--api-key-file", "--api-key-file: the API key must hold at least 10 letters", id="digits only"
        ),
        (None, "--password-file", "--password-file: this file cannot be read (No such file"),
        (b"no certificate", "--activation-ca", "--activation-ca: no certificate authority can be read"),
        (b"no folder", "--ca-out", "--ca-out: this file cannot be written (Not a directory"),
        (b"no folder", "--data", "it cannot start: File exists"),
    ],
)
def test_a_file_that_cannot_be_used_is_78_and_said_plainly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, option: str, says: str
) -> None:
    """One line that names the option and what is wrong, no traceback, nothing on stdout."""
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    value = str(path / "below" if option == "--ca-out" else path)
    code = command_line(["icap-app", "--deployment-id", "keep", "--data", str(tmp_path), option, value])
    out, err = capsys.readouterr()
    assert code == 78
    assert says in err
    assert err.count("\n") == 1
    assert out == ""


def test_every_fault_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody has to mend one thing to hear of the next."""
    absent = str(tmp_path / "absent")
    assert (
        command_line(["icap-app", "--api-key-file", absent, "--password-file", absent, "--activation-ca", absent]) == 78
    )
    assert capsys.readouterr().err.count("\n") == 3


@pytest.mark.parametrize("option", ["--port", "--icap-port", "--control-port"])
def test_a_port_that_is_taken_is_78_and_said_plainly(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names address and port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        code = command_line(["icap-app", option, number])
    out, err = capsys.readouterr()
    assert code == 78
    assert err == f"icap-app: it cannot start: Address already in use: 127.0.0.1 port {number}\n"
    assert out == ""


def test_a_host_that_is_none_is_78(capsys: pytest.CaptureFixture[str]) -> None:
    """An address of somebody else cannot be listened on."""
    assert command_line(["icap-app", "--host", "192.0.2.1"]) == 78
    assert "192.0.2.1 port 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("0a1b2c3d4e5f" * 3, True),
        ("abc012" * 6, True),
        ("abcd012345" * 3 + "abc012", False),
        ("abc0123abc" * 3 + "abc012", False),
        ("0a1b2c3d4e5f" * 2, False),
        ("0A1B2C3D4E5F" * 3, False),
        ("0a1b2c3d4e5g" * 3, False),
        ("a12" * 9 + "123456789", False),
        ("1" * 36, False),
        ("", False),
    ],
    # Names of their own: a key does not belong into the output of a test, not even a made-up one.
    ids=[
        "mixed",
        "three in a row",
        "four letters",
        "four digits",
        "short",
        "capitals",
        "no hex",
        "run",
        "digits",
        "none",
    ],
)
def test_the_rule_for_api_keys(key: str, good: bool) -> None:
    """36 characters of 0-9a-f, at least 10 of each kind, at most 3 of a kind in a row."""
    fault = api_key_fault(key)
    assert (fault is None) == good
    assert not key or key not in (fault or "")


def test_a_free_form_api_key_is_taken_on_request(tmp_path: Path) -> None:
    """Older releases take any API key."""
    path = tmp_path / "api-key"
    path.write_text("simple\n")
    assert settings_of("--api-key-file", str(path), "--any-api-key").api_key == "simple"
