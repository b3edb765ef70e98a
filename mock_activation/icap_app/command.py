"""``mock-activation icap-app``: the stand-in as a process of its own.

Prints one line of JSON with its addresses when it is there, and goes at SIGTERM. Secrets come from files and, as in the
vendor's container, from ``LICENSE_KEY``; none is ever printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from yarl import URL

from mock_activation.exits import CONFIGURATION, DONE, USAGE
from mock_activation.icap_app.app import IcapApp
from mock_activation.icap_app.identity import id_fault
from mock_activation.icap_app.script import HIGHEST_SEED
from mock_activation.icap_app.settings import (
    FAILURES,
    LICENCE_FIELDS,
    PLACEHOLDERS,
    READYZ_CODES,
    Manners,
    Readyz,
    Settings,
    Unlicensed,
    api_key_fault,
)

BUG: Final = 70
"""The exit code for a bug of the stand-in itself."""

_LOG: Final = logging.getLogger("mock_activation.icap_app")
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_HIGHEST_PORT: Final = 65535
_POLICIES: Final = frozenset({"fresh", "keep", "environment"})


class Faults(Exception):  # noqa: N818 - a list of them
    """What is wrong with the arguments: an exit code and a sentence for each fault."""

    def __init__(self, code: int, *sentences: str) -> None:
        """Keep them."""
        super().__init__(*sentences)
        self.code = code
        self.sentences = sentences


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,7}(?:\.[0-9]{1,6})?)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError("a duration is expected, such as 5, 0.5, 15s or 2m")
    return float(found[1]) * _UNITS[found[2]]


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"a port is expected: 0 (a free one) to {_HIGHEST_PORT}")
    return int(text)


def _fields(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or not set(names) <= set(LICENCE_FIELDS):
        raise argparse.ArgumentTypeError(f"names separated by commas are expected, out of {', '.join(LICENCE_FIELDS)}")
    return names


def _url(text: str) -> str:
    try:
        url = URL(text)
        good = url.scheme in ("http", "https") and bool(url.host) and not url.query_string and not url.user
    except ValueError:
        good = False
    if not good:
        # Not the text itself: a URL that was copied from a log or a browser may hold a key.
        raise argparse.ArgumentTypeError("an address such as https://127.0.0.1:8443 is expected, without query or user")
    return text.rstrip("/")


def _deployment_id(text: str) -> str:
    if fault := id_fault(text):
        raise argparse.ArgumentTypeError(fault)
    return text


def _seed(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > HIGHEST_SEED:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to {HIGHEST_SEED} is expected")
    return int(text)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``icap-app``; values of the wrong form end in ``parser.error``."""
    parser.description = (
        "A stand-in for OPSWAT's MetaDefender ICAP Server: REST API, ICAP port, and a life that can be disturbed over "
        "a control port. Prints one line of JSON with its addresses when it is there. With LICENSE_KEY in the "
        "environment it activates itself at start and deactivates at SIGTERM, once each, as the vendor's container."
    )
    add = parser.add_argument_group("addresses").add_argument
    add("--host", default="127.0.0.1", help="address of the REST and the ICAP port (default: %(default)s)")
    add("--port", type=_port, default=0, metavar="PORT", help="REST port; 0 = a free one (default)")
    add("--icap-port", type=_port, default=0, metavar="PORT", help="ICAP port; 0 = a free one (default)")
    add("--control-host", default="127.0.0.1", help="address of the control port (default: %(default)s)")
    add("--control-port", type=_port, default=0, metavar="PORT", help="control port; 0 = a free one (default)")

    add = parser.add_argument_group("credentials").add_argument
    add("--api-key-file", type=Path, metavar="FILE", help="demand this API key; without it none is demanded")
    add("--any-api-key", action="store_true", help="do not insist on the product's rule for API keys")
    add("--user", default="admin", help="user of POST /login (default: %(default)s)")
    add("--password-file", type=Path, metavar="FILE", help="password of POST /login; without it any will do")

    add = parser.add_argument_group("activation").add_argument
    add("--activation-url", type=_url, metavar="URL", help="activation server that the app itself calls")
    add("--activation-ca", type=Path, metavar="FILE", help="certificate authority of that server")
    add("--activation-timeout", type=_seconds, default=10.0, metavar="SECONDS", help="default: %(default)g")
    add("--licensed", action="store_true", help="be licensed from the start, as by an on-premises licence server")

    add = parser.add_argument_group("identity").add_argument
    add(
        "--deployment-id",
        type=_deployment_id,
        default="fresh",
        metavar="fresh|keep|environment|VALUE",
        help="a new one at each start (default), one kept in --data, the one in DEPLOYMENT_ID, or this one",
    )
    add("--id-prefix", default="MSIC", metavar="TEXT", help="before the 32 hex digits (default: %(default)s, assumed)")
    add("--data", type=Path, metavar="DIR", help="folder in which the deployment ID is kept")

    add = parser.add_argument_group("life").add_argument
    add("--start-delay", type=_seconds, default=0.0, metavar="SECONDS", help="ports refuse that long at each start")
    add("--forbidden-for", type=_seconds, default=0.0, metavar="SECONDS", help="answer 403 that long at each start")
    add("--tls-after", type=_seconds, metavar="SECONDS", help="turn from HTTP to HTTPS then; 0 = HTTPS from the start")
    add("--ca-out", type=Path, metavar="FILE", help="write the authority of the app's own certificate there")
    add("--restart-file", type=Path, metavar="PATH", help="restart while this file is younger than two minutes")
    add(
        "--probe-period", type=_seconds, default=2.0, metavar="SECONDS", help="how often to look (default: %(default)g)"
    )
    add("--probe-down", type=_seconds, default=1.0, metavar="SECONDS", help="how long such a restart takes")

    add = parser.add_argument_group("faults (rules are added over POST /faults of the control port)").add_argument
    add("--seed", type=_seed, metavar="NUMBER", help="for what rules leave to chance; without it a new one, printed")

    add = parser.add_argument_group("manners (all can be changed over POST /manners of the control port)").add_argument
    add("--numbers-as-strings", action="store_true", help='days_left "364" instead of 364')
    add("--missing-fields", type=_fields, default=(), metavar="A,B", help="leave these out of GET /admin/license")
    add("--unlicensed-fields", choices=[*Unlicensed], default="bare", help="what is shown without a licence")
    add("--readyz", choices=[*Readyz], default="new", help="shape of the verbose /readyz (default: %(default)s)")
    add("--readyz-code", type=int, choices=READYZ_CODES, default=0, help="status of /readyz; 0 = by readiness")
    add("--no-upload", action="store_true", help="answer 404 to the upload of a licence file")
    add("--activation-failure", type=int, choices=FAILURES, default=500, help="status of a failed activation")
    add("--no-user", action="store_true", help="no user exists yet: /version and /login answer 403")


def settings_from(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Read what the arguments point to and check what belongs together. Raises ``Faults``."""
    if arguments.deployment_id == "keep" and arguments.data is None:
        raise Faults(USAGE, "--deployment-id keep needs --data DIR, the folder to keep it in")
    if arguments.probe_period == 0:
        raise Faults(USAGE, "--probe-period must be more than 0")
    if not re.fullmatch(r"[A-Za-z0-9]{0,16}", arguments.id_prefix):
        raise Faults(USAGE, "--id-prefix must be up to 16 letters or digits")
    faults: list[str] = []
    api_key = _read("--api-key-file", arguments.api_key_file, faults)
    if api_key is not None and not arguments.any_api_key and (fault := api_key_fault(api_key)):
        faults.append(f"--api-key-file: {fault} (--any-api-key does not insist)")
    password = _read("--password-file", arguments.password_file, faults)
    if arguments.activation_ca is not None:
        try:
            ssl.create_default_context(cafile=arguments.activation_ca)
        except OSError as error:
            faults.append(f"--activation-ca: no certificate authority can be read from this file ({_why(error)})")
    license_key = environment.get("LICENSE_KEY", "").strip()
    deployment_id = arguments.deployment_id
    if deployment_id == "environment":
        deployment_id = environment.get("DEPLOYMENT_ID", "").strip()
        if fault := id_fault(deployment_id) or ("this is a policy" if deployment_id in _POLICIES else None):
            faults.append(f"DEPLOYMENT_ID in the environment (--deployment-id environment): {fault}")
    if faults:
        raise Faults(CONFIGURATION, *faults)
    return Settings(
        host=arguments.host,
        port=arguments.port,
        icap_port=arguments.icap_port,
        control_host=arguments.control_host,
        control_port=arguments.control_port,
        api_key=api_key,
        user=arguments.user,
        password=password,
        activation_url=arguments.activation_url,
        activation_ca=arguments.activation_ca,
        activation_timeout=arguments.activation_timeout,
        license_key=None if license_key in PLACEHOLDERS else license_key,
        deployment_id=deployment_id,
        id_prefix=arguments.id_prefix,
        data=arguments.data,
        licensed=arguments.licensed,
        start_delay=arguments.start_delay,
        forbidden_for=arguments.forbidden_for,
        tls_after=arguments.tls_after,
        restart_file=arguments.restart_file,
        probe_period=arguments.probe_period,
        probe_down=arguments.probe_down,
        seed=arguments.seed,
        manners=Manners(
            numbers_as_strings=arguments.numbers_as_strings,
            missing=arguments.missing_fields,
            unlicensed=Unlicensed(arguments.unlicensed_fields),
            readyz=Readyz(arguments.readyz),
            readyz_code=arguments.readyz_code,
            upload=not arguments.no_upload,
            failure=arguments.activation_failure,
            user=not arguments.no_user,
        ),
    )


def _read(option: str, path: Path | None, faults: list[str]) -> str | None:
    """Read a secret from a file, without white space around it."""
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{option}: this file cannot be read ({_why(error)})")
        return None
    if not text:
        faults.append(f"{option}: this file is empty")
    return text or None


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT and return the exit code: 0, 64 usage, 70 a bug, 78 configuration."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="icap-app: %(message)s")
    try:
        settings = settings_from(arguments, os.environ)
        if os.environ.get("LICENSING_CLEANUP", "").strip().lower() == "true":
            _LOG.warning("LICENSING_CLEANUP is not played: it needs the Secret of a Kubernetes namespace")
        return asyncio.run(_serve(settings, arguments.ca_out))
    except Faults as faults:
        for sentence in faults.sentences:
            sys.stderr.write(f"icap-app: {sentence}\n")
        return faults.code


async def _serve(settings: Settings, ca_out: Path | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = IcapApp(settings, on_crash=_die)
    if ca_out is not None:
        try:
            ca_out.write_bytes(app.ca_pem)  # noqa: ASYNC240 - before anything else runs
        except OSError as error:
            raise Faults(CONFIGURATION, f"--ca-out: this file cannot be written ({_why(error)})") from error
    try:
        await app.__aenter__()
    except (OSError, ValueError) as error:
        raise Faults(
            CONFIGURATION, f"it cannot start: {_why(error) if isinstance(error, OSError) else error}"
        ) from error
    try:
        line = {**app.addresses(), "deployment_id": app.deployment_id, "seed": app.seed, "pid": os.getpid()}
        sys.stdout.write(f"{json.dumps(line)}\n")
        sys.stdout.flush()
        await _first(stop, app.failed)
    finally:
        with contextlib.suppress(BaseExceptionGroup):  # what failed was logged when it did
            await app.stop()
    return BUG if app.failed.is_set() else DONE


async def _first(*events: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(event.wait(), name="stop") for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def _die(hard: bool) -> NoReturn:
    """End this process without a word, as a crash does: exit code 1, or SIGKILL."""
    if hard:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(1)
