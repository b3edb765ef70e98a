"""See to the Secrets that the chart generates or was given by value; a hook of the chart runs it.

It is the one writer of these Secrets. It creates what is absent, sets what is given, generates
what is missing, and leaves everything else in them alone. If nothing is to be changed, nothing is
written. Two runs at once and a run that was killed do no harm.

The plan is a YAML file:

  release: NAME                          # whose Secrets these are
  secrets:
    - {name: mdicapsrv-api-key, kind: api-key}             # value
    - {name: mdicapsrv-cred, kind: credentials}            # user, password
    - {name: mdicapsrv-license-key, kind: license-key}     # value, previous
    - {name: mdicapsrv-postgres-cred, kind: database-credentials}   # user, password
    - {name: anything, kind: opaque}                       # only what is given

Each may have `labels`. A given value is a file of the folder --given, named SECRET.FIELD, such as
mdicapsrv-license-key.value; empty ones and the placeholder <SET_LICENSE_KEY_HERE> count as not
given. An activation key is never generated: without one the sidecar waits for it. When it is
replaced, the former key goes to the front of `previous`, because the seats that were taken with
it are released with it; none is ever taken out of there.

Every Secret carries the annotation license-sidecar/release. If one belongs to another release,
nothing is written, and the exit code is 77. One without such a mark is adopted, and so is one that
Helm made for a release of this name: its labels and annotations stay, and it is marked to survive
an upgrade that no longer renders it.

Rights: create on secrets; get and update on the secrets of the plan (resourceNames).

  RESULT  created, changed   written
          kept               as it should be; nothing was written
          waiting            not there, and nothing was given for it
          refused            it belongs to another release (--adopt)
          untouched          another one is refused

Exit codes: 0 done (also without an activation key), 69 the API server was not reached or gives no
right in time, 77 refused, 78 wrong plan, values or settings.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.cli import operator
from sidecar.cli.local import duration
from sidecar.cli.options import add_settings, load_and_warn
from sidecar.cli.progress import Progress
from sidecar.config import Config
from sidecar.errors import Misconfigured
from sidecar.exit_codes import DONE, REFUSED
from sidecar.secrets import MASKER

if TYPE_CHECKING:
    from sidecar.cli.plan_file import Plan
    from sidecar.operate.secret_writer import Done


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--plan", metavar="FILE", type=Path, required=True, help="the plan, as above")
    parser.add_argument("--given", metavar="DIR", type=Path, help="folder with the values that were given")
    parser.add_argument("--namespace", help="where the Secrets are (default: pod.namespace, else the account's own)")
    parser.add_argument("--adopt", action="store_true", help="also take Secrets that belong to another release")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing")
    parser.add_argument(
        "--timeout", type=duration, default=120.0, metavar="DURATION", help="how long to try in all (default 120s)"
    )
    operator.add_output(parser)
    add_settings(parser, shown=("ledger", "pod"))


def run(arguments: Namespace) -> int:
    """See to the Secrets."""
    from sidecar.cli import plan_file  # noqa: PLC0415 - the help does without

    # Of the settings only those count that lead to the API server: no seat is touched, and what a sidecar must know
    # about its pod may be missing here.
    vars(arguments).update({"setting:mode": "off", "setting:ledger.kind": "auto"})
    config = load_and_warn(arguments, os.environ)
    plan = plan_file.read(arguments.plan, arguments.given)
    namespace = arguments.namespace or config.pod.namespace or _own_namespace(config)
    return operator.conduct(lambda: _see_to(config, arguments, plan, namespace), stopped=operator.INTERRUPTED)


async def _see_to(config: Config, arguments: Namespace, plan: Plan, namespace: str) -> int:
    from sidecar import wiring  # noqa: PLC0415 - wrong plans are told without it
    from sidecar.operate.persistence import Persistence  # noqa: PLC0415 - the same
    from sidecar.operate.secret_writer import Fate, SecretWriter, Terms  # noqa: PLC0415 - the same

    random = secrets.SystemRandom()
    deadline = asyncio.get_running_loop().time() + arguments.timeout
    terms = Terms(release=plan.release, namespace=namespace, adopt=arguments.adopt, dry_run=arguments.dry_run)
    async with wiring.secret_store(config, namespace) as store:
        persistence = Persistence(Progress(), random, deadline=deadline)
        results = await SecretWriter(store, terms, persistence, random).run(plan.secrets)
    if arguments.output == "json":
        told = {"namespace": namespace, "release": plan.release, "secrets": [_as_object(it) for it in results]}
        # Unmasked but for the sentences: to the masker "password": "kept" looks like a password.
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    else:
        _print(results, namespace, dry_run=arguments.dry_run)
    return REFUSED if any(it.fate is Fate.REFUSED for it in results) else DONE


def _print(results: tuple[Done, ...], namespace: str, *, dry_run: bool) -> None:
    from sidecar.cli.table import aligned  # noqa: PLC0415 - JSON does without

    rows = [("SECRET", "KIND", "RESULT", "FIELDS")]
    rows += [(it.name, it.kind.value, it.fate.value, _fields(it)) for it in results]
    operator.say(aligned(rows))
    for it in results:
        operator.say("".join(f"{it.name}: {text}\n" for text in (it.why, *it.warnings) if text))
    if dry_run:
        operator.say(f"nothing was written in the namespace {namespace}: this was --dry-run\n")


def _fields(done: Done) -> str:
    told = ", ".join(f"{name} {doing}" for name, doing in done.doings.items())
    key = f"key {done.key}" if done.key else ""
    former = f"former key {', '.join(done.former)}" if done.former else ""
    return "; ".join(it for it in (told, key, former) if it) or "-"


def _as_object(done: Done) -> dict[str, Any]:
    return {
        "name": done.name,
        "kind": done.kind.value,
        "result": done.fate.value,
        "fields": {name: doing.value for name, doing in done.doings.items()},
        "key_fingerprint": done.key,
        "former_key_fingerprints": list(done.former),
        "why": MASKER.mask(done.why),
        "warnings": [MASKER.mask(it) for it in done.warnings],
    }


def _own_namespace(config: Config) -> str:
    """Return the namespace that is mounted beside the token. Raises ``Misconfigured``."""
    file = config.ledger.account_dir / "namespace"
    try:
        text = file.read_text("ascii").strip()
    except (OSError, ValueError):
        text = ""
    if not text:
        raise Misconfigured(f"the namespace is not known: give --namespace, or set POD_NAMESPACE, or mount {file}")
    return text
