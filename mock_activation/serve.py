"""``mock-activation serve``: the mock activation server as a process.

Prints where it listens as one line of JSON when it is ready, and ends cleanly at SIGTERM. Keys come from a file or
over the control port, never from the command line, where everybody on the machine could read them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

from mock_activation.exits import CONFIGURATION, DONE
from mock_activation.fields import InputError
from mock_activation.key_input import read_key_file
from mock_activation.many_connections import allow_many_connections
from mock_activation.profiles import MOST_SEED, PROFILES
from mock_activation.server import ListenError, MockActivation
from mock_activation.state_file import StateError
from mock_activation.switches import POSITIONS, Switches

_EPILOG = """\
The key file is YAML:

  keys:
    - key: XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX
      seats: 2
      state: ok              # or unknown, expired, suspended, wrong-product
      expires: 2027-01-31    # optional, as are product_id, product_name, licensed_to, licensed_engines

Without a key file every key is unknown until one is put over the control port. docs/mock.md tells the rest.
"""

_SWITCH_HELP = {
    "same_pair": "activating an active pair again: free of charge, or takes another seat",
    "unknown_pair": "deactivating a pair that is not active: 404, 200 with an error, or 200 as if it had been",
    "quantity": "a deployment takes one seat, or as many as its quantity",
    "release_body": "body of a successful deactivation",
    "deployment_ids": "well-formed deployment IDs: prefix and 32 hexadecimal digits, or nearly any text",
    "phrases": "reason phrases in status lines",
    "validation_order": "which malformed parameter is told if several are",
    "key_state_check": "a key's state is looked up after all parameters, or as soon as the key is well-formed",
    "missing": "a parameter that is missing: as if malformed, Activation failed, or status 400",
    "missing_quantity": "an activation without quantity: a missing parameter, or one",
    "unknown_key": "a well-formed key that was never issued: Activation failed, or Invalid parameter",
    "refusal_texts": "a sentence for each reason of a refusal, or one for all",
    "bad_release": "a deactivation with a malformed parameter: as in an activation, or 404",
    "dead_key_release": "deactivating with an expired, suspended or wrong key",
    "max_node_count": "this field of the licence file",
    "content_types": "Content-Type of answers",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.description = "A stand-in for the vendor's activation server. Not for production: it licenses nothing."
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    listen = parser.add_argument_group("listening")
    listen.add_argument("--host", default="127.0.0.1", help="address of the activation port (default %(default)s)")
    listen.add_argument(
        "--port", type=_port, default=8480, help="activation port, 0 = a free one (default %(default)s)"
    )
    listen.add_argument("--control-host", metavar="HOST", help="address of the control port (default: that of --host)")
    listen.add_argument(
        "--control-port", type=_port, default=8481, metavar="PORT", help="control port, 0 = a free one (default 8481)"
    )
    listen.add_argument(
        "--control-token-file", type=Path, metavar="FILE", help="the control port wants its content as a bearer token"
    )
    listen.add_argument("--prefix", default="", metavar="/PATH", help="path before /activation and /deactivation")
    listen.add_argument("--keys", type=Path, metavar="FILE", help="YAML file with the keys and their seats")
    listen.add_argument("--state", type=Path, metavar="FILE", help="keep keys and seats there, over every restart")
    listen.add_argument("--ready-file", type=Path, metavar="FILE", help="write the line of JSON there too, when ready")
    tls = parser.add_argument_group("TLS")
    tls.add_argument("--tls", action="store_true", help="speak TLS on the activation port, with a CA made at start")
    tls.add_argument("--ca-out", type=Path, metavar="FILE", help="write the CA certificate there (implies --tls)")
    tls.add_argument(
        "--tls-name", action="append", default=[], metavar="NAME", help="one more name for the certificate; repeatable"
    )
    tls.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="FILE",
        help="refuse clients without a certificate of these authorities (implies --tls)",
    )
    faults = parser.add_argument_group("faults")
    faults.add_argument(
        "--profile",
        choices=list(PROFILES),
        default="calm",
        help="begin with this set of faults (default %(default)s): "
        + "; ".join(f"{profile.name}: {profile.summary}" for profile in PROFILES.values()),
    )
    faults.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="what faults choose by; the same seed chooses alike for the same requests (default: another each time, "
        "printed when ready)",
    )
    switches = parser.add_argument_group("assumptions about the vendor's server")
    for name, positions in POSITIONS.items():
        switches.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            type=str,
            choices=list(map(str, positions)),
            help=f"{_SWITCH_HELP[name]} (default {getattr(Switches(), name)})",
        )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    allow_many_connections()
    try:
        keys = read_key_file(arguments.keys) if arguments.keys else {}
        mock = MockActivation(
            keys,
            switches={
                name: kind(getattr(arguments, name))
                for name, kind in POSITIONS.items()
                if getattr(arguments, name) is not None
            },
            host=arguments.host,
            port=arguments.port,
            control_host=arguments.control_host,
            control_port=arguments.control_port,
            prefix=arguments.prefix,
            tls=arguments.tls or arguments.ca_out is not None,
            tls_names=tuple(arguments.tls_name),
            tls_client_ca=arguments.tls_client_ca,
            control_token=read_token(arguments.control_token_file),
            profile=arguments.profile,
            seed=random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed,
            state=arguments.state,
        )
        return asyncio.run(_serve(mock, arguments.ready_file, arguments.ca_out))
    except InputError as error:
        faults: tuple[str, ...] = error.faults
    except StateError as error:
        faults = (f"--state {error}",)
    except ListenError as error:
        faults = (f"{error.setting}: {error.strerror}",)
    for fault in faults:
        sys.stderr.write(f"mock-activation serve: {fault}\n")
    return CONFIGURATION


async def _serve(mock: MockActivation, ready_file: Path | None, ca_out: Path | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with mock:
        if ca_out is not None and mock.ca_pem is not None:
            _write(ca_out, mock.ca_pem)
        line = json.dumps(
            {
                "url": mock.url,
                "control_url": mock.control_url,
                "pid": os.getpid(),
                "keys": [view.fingerprint for view in mock.pool.view()],
                "profile": mock.backend.profile,
                "seed": mock.faults.seed,
                "ca_file": None if ca_out is None else str(ca_out),
            }
        )
        if ready_file is not None:
            _write(ready_file, f"{line}\n".encode())
        with suppress(BrokenPipeError):  # nobody has to listen
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        await stop.wait()
        if ready_file is not None:
            _remove(ready_file)
    return DONE


def _write(path: Path, content: bytes) -> None:
    """Write a file that is either whole or absent for whoever waits for it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def read_token(path: Path | None) -> str | None:
    """Read the control port's token. Raises ``InputError``, which does not repeat it."""
    if path is None:
        return None
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: a token must be ASCII") from None
    if not token or not token.isprintable() or " " in token:
        raise InputError(f"{path}: a token must be one printable word")
    return token


def _seed(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= MOST_SEED:  # noqa: PLR2004 - its digits
        return int(text)
    raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 to {MOST_SEED}")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535:  # noqa: PLR2004 - the range of ports
        return int(text)
    raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
