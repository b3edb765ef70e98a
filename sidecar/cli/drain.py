"""Give back the seats of a release before it is uninstalled; the chart's pre-delete hook runs it.

It scales the workload to 0, waits until the pods have given back their own seats, and reclaims
what is left of this release: what was handed over at once, what a dead pod left after a lease of
watching, all as by any sidecar. Seats of other releases are not touched, and nothing is forced.
A 403 is tried again for 30 s, because a hook's rights may arrive after its Job.

It ends within --timeout and always with exit code 0 (but for wrong usage), because an uninstall
must not hang on it; what could not be given back is listed with the reason and the commands that
finish it by hand. Stopping it at any moment does no harm.

  license-sidecar drain --workload deployment/md-icapsrv --timeout 240s

Rights: get and patch on deployments/scale (the one of that name); get, list and watch on pods;
all verbs of a sidecar on leases.

  RESULT  released   the seat is free, its record is erased
          elsewhere  its own sidecar or another reclaimer finished it
          unknown    the server did not know the seat, twice; the record is erased
          waiting    its pod still lives, or a second look is due
          failed     the activation server did not answer
          no key     its key is not in key.dir
          left       nobody can prove from here that its owner is gone

Exit code: 0.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sidecar.cli import operator, tell_failure
from sidecar.cli.local import duration
from sidecar.cli.options import add_settings
from sidecar.cli.progress import Progress
from sidecar.config import Config, LedgerKind
from sidecar.errors import Misconfigured
from sidecar.exit_codes import DONE
from sidecar.stop_signals import StopSignals

if TYPE_CHECKING:
    from sidecar.operate.drain import Account
    from sidecar.reclaim import Judged


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--workload", metavar="KIND/NAME", type=_workload, required=True, help="deployment/NAME or statefulset/NAME"
    )
    parser.add_argument(
        "--timeout", type=duration, default=240.0, metavar="DURATION", help="how long it may take in all (default 240s)"
    )
    parser.add_argument("--release", help="whose seats (default: pod.release)")
    operator.add_output(parser)
    add_settings(parser, shown=(*operator.SHOWN, "pod"))


def run(arguments: Namespace) -> int:
    """Drain; whatever goes wrong is told and must not hold up the uninstall."""
    # This is process 1 of a container, to which a signal without a handler means nothing.
    signals = StopSignals().install()
    try:
        config = operator.settings(arguments)
        release = arguments.release or config.pod.release
        _check(config, release)
        return operator.conduct(lambda: _drain(config, arguments, release), signals=signals, stopped=DONE)
    except Exception as error:  # noqa: BLE001 - see above; a bug is told as everywhere else
        tell_failure(error)
        sys.stderr.write(
            "license-sidecar drain: the pods give their seats back themselves when they end, as far as they can; this "
            "must not hold up the uninstall, so the exit code is 0\n"
        )
    return DONE


def _check(config: Config, release: str) -> None:
    if config.ledger.kind is not LedgerKind.KUBERNETES:
        raise Misconfigured("drain works on a workload in Kubernetes, and ledger.kind is file: see `reclaim`")
    if not release:
        raise Misconfigured(
            "pod.release: give --release or set LICENSE_SIDECAR_POD_RELEASE, or nobody's seats are meant"
        )


async def _drain(config: Config, arguments: Namespace, release: str) -> int:
    began = asyncio.get_running_loop().time()
    from sidecar import wiring  # noqa: PLC0415 - wrong settings are told without it
    from sidecar.lifecycle import leave  # noqa: PLC0415 - the same
    from sidecar.operate.drain import Drain, Orders  # noqa: PLC0415 - the same

    kind, name = arguments.workload
    orders = Orders(
        release=release,
        namespace=config.pod.namespace,
        workload=f"{kind}/{name}",
        until=began + arguments.timeout,
        call_timeout=config.activation.timeout,
    )
    progress = Progress()
    async with wiring.desk(config) as desk, wiring.workload(config, kind, name) as workload:
        snapshot = await desk.keys.poll()
        if not snapshot.known():
            progress.step(f"{snapshot.fault}: only what the pods give back themselves becomes free")
        drain = Drain(desk.reclaimer, workload, orders, progress)
        try:
            async with asyncio.timeout_at(orders.until - 1.0):
                await drain.run()
        except asyncio.CancelledError:
            progress.step("stopped before the end")
            _show(drain.account(), config, arguments.output)
            raise
        except TimeoutError:
            _show(drain.account(), config, arguments.output)
            leave(DONE)  # what hangs is not waited for: a look-up of a name in a thread can
        _show(drain.account(), config, arguments.output)
    return DONE


def _show(account: Account, config: Config, output: str) -> None:
    if output == "json":
        operator.print_json(
            {
                "results": [operator.as_object(it) for it in account.results],
                "left": [_as_object(it, config) for it in account.left],
                "pods": account.pods.pods,
                "troubles": account.troubles,
            }
        )
        return
    if account.results or account.seen:
        operator.show(account.results, (), output, nothing="no seat record of this release is left")
    for trouble in account.troubles:
        operator.say(f"not done: {trouble}\n")
    if not account.seen:
        operator.say(
            f"the seat records could not be seen. Look at them: kubectl get lease -n {config.ledger.namespace} -l "
            "app.kubernetes.io/managed-by=license-sidecar\n"
        )
    if account.left:
        many = (
            "1 seat of this release is" if len(account.left) == 1 else f"{len(account.left)} seats of this release are"
        )
        operator.say(
            f"{many} left. Sidecars of other releases with the same key and the same ledger finish what is orphaned. "
            "Else by hand, from any machine that reaches the activation server, with the key in the folder KEY and an "
            "empty folder EMPTY:\n"
        )
        for it in account.left:
            operator.say("".join(f"  {line}\n" for line in _by_hand(it, config)))


def _by_hand(it: Judged, config: Config) -> Sequence[str]:
    identity, erase = it.stored.record.identity, f"kubectl delete lease -n {config.ledger.namespace} {it.stored.name}"
    if not identity.deployment_id:
        return [erase]
    release = f"license-sidecar release {identity.deployment_id} --key {identity.key_fingerprint} --key-dir KEY"
    return [f"{release} --ledger-kind file --ledger-dir EMPTY --activation-url {identity.server}", erase]


def _as_object(it: Judged, config: Config) -> dict[str, Any]:
    identity = it.stored.record.identity
    return {
        "deployment_id": identity.deployment_id,
        "key_fingerprint": identity.key_fingerprint,
        "record": it.stored.name,
        "namespace": config.ledger.namespace,
        "by_hand": list(_by_hand(it, config)),
    }


def _workload(text: str) -> tuple[str, str]:
    kind, _, name = text.partition("/")
    kind = kind.lower()
    if kind not in ("deployment", "statefulset") or not name or "/" in name:
        raise ArgumentTypeError("write deployment/NAME or statefulset/NAME")
    return kind, name
