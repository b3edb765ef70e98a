"""What must hold between settings, and what is allowed but worth a warning.

A rule is not asked while one of its settings cannot be read: one mistake is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from sidecar.config.kubernetes import nameless
from sidecar.config.settings import SETTINGS, Config
from sidecar.core.policy import IdSource
from sidecar.durations import format_duration

Rule = tuple[tuple[str, ...], Callable[[Config], str | None]]


def _renewal(config: Config) -> str | None:
    third = config.lease.duration / 3
    if config.lease.renew < third:
        return None
    most = format_duration(round(third, 3))
    return f"must be less than a third of lease.duration: write less than {most}, or lengthen lease.duration"


def _fixed(config: Config) -> str | None:
    if config.deployment_id.source is not IdSource.FIXED or config.deployment_id.value:
        return None
    return "is missing: deployment_id.source: fixed needs it"


def _instance(config: Config) -> str | None:
    return None if config.pod.name else "is not known, for this host has no usable name: write a name for this instance"


FAULTS: Final[tuple[Rule, ...]] = (
    (("lease.renew", "lease.duration"), _renewal),
    (("deployment_id.value", "deployment_id.source"), _fixed),
    (("pod.name",), _instance),
    (("ledger.kind", "pod.name", "pod.uid", "pod.namespace"), nameless),
)
"""What design.md enforces, and what nothing can be done without. Each names its settings, first the one to correct."""


def _retries(config: Config) -> str | None:
    if config.activation.retry_base <= config.activation.retry_cap:
        return None
    return "is longer than activation.retry_cap, which counts for both: no pause can be longer than the longest"


def _late(config: Config) -> str | None:
    if config.activation.late >= config.activation.timeout:
        return None
    return "is shorter than activation.timeout: a request may take effect while its answer is awaited, and leak a seat"


def _plain_text(config: Config) -> str | None:
    url = urlsplit(config.activation.url)
    if url.scheme != "http" or _is_loopback(url.hostname or ""):
        return None
    return "is http: everybody on the way can read the key; use https"


def _path(config: Config) -> str | None:
    last = config.activation.url.rpartition("/")[2]
    if last not in {"activation", "deactivation"}:
        return None
    return f"ends with /{last}, which the sidecar adds itself: probably it should end before that"


def _budget(config: Config) -> str | None:
    if config.activation.timeout <= config.shutdown.budget:
        return None
    return "is longer than shutdown.budget: one unanswered request can use up the whole shutdown"


def _idle_value(config: Config) -> str | None:
    if not config.deployment_id.value or config.deployment_id.source is IdSource.FIXED:
        return None
    return "is ignored, because deployment_id.source is not fixed"


WARNINGS: Final[tuple[Rule, ...]] = (
    (("activation.url",), _plain_text),
    (("activation.url",), _path),
    (("activation.retry_base", "activation.retry_cap"), _retries),
    (("activation.late", "activation.timeout"), _late),
    (("activation.timeout", "shutdown.budget"), _budget),
    (("deployment_id.value", "deployment_id.source"), _idle_value),
)


def judge(rules: tuple[Rule, ...], config: Config, unreadable: frozenset[str]) -> Iterator[str]:
    """Yield one sentence for each rule that does not hold, naming the settings, their values and their origins."""
    for names, rule in rules:
        if unreadable.isdisjoint(names) and (message := rule(config)) is not None:
            first, *others = (_where(config, name) for name in names)
            beside = f" [{', '.join(others)}]" if others else ""
            yield f"{first} {message}{beside}"


def _where(config: Config, name: str) -> str:
    shown = SETTINGS[name].kind.show(config.value(name))
    return f"{name} ({config.origins[name]}: {shown})" if shown else f"{name} ({config.origins[name]})"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
