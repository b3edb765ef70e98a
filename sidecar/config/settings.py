"""All settings, declared once: name, kind, default, meaning and reason stand at the field that holds the value.

From these declarations come the ``SETTINGS`` table and with it the names in files, the environment variables, the
flags, their help and ``docs/settings.md``. There is no setting that holds a key or a password: secrets are read from
files, and only the paths of those files are settings. Nothing is read or checked in here.
"""

# ruff: noqa: RUF009 - the call makes a dataclass field, once, with an immutable default
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from sidecar.config import parse
from sidecar.config.declare import LedgerKind, LogFormat, LogLevel, Rotation, Setting
from sidecar.config.declare import declare as _setting
from sidecar.core.policy import IdSource, Mode, ReleaseOnStop, Route

_DAY: Final = 86400.0
_YEAR: Final = 365 * _DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """The activation server, and how it is asked."""

    url: str = _setting(
        parse.address(),
        "https://activation.dl.opswat.com",
        "the activation server: scheme, host, port, optional path prefix",
        reason="a request carries the key, so this must be a server that you trust",
    )
    route: Route = _setting(
        parse.choice(Route),
        "auto",
        "how the licence reaches the app: auto tries upload, then product; app leaves it to the app itself",
        reason="upload is not proven for ICAP Server, product is",
    )
    late: float = _setting(
        parse.duration(0.01, _DAY, zero="at once"),
        "120",
        "how long after it was sent an unanswered request may still take effect",
        reason="a record is not erased before that, or a late activation would leak its seat",
    )
    quantity: int = _setting(
        parse.integer(1, 1_000_000), "1", "the quantity that is asked for", reason="1 in all of the vendor's clients"
    )
    comment: str = _setting(parse.text(), "", "a comment that the app passes on (route product)")
    timeout: float = _setting(
        parse.duration(0.05, 25),
        "10",
        "total time for one request, from the name look-up to the last byte",
        reason="a claim on an orphan lasts 30 s, and a request must end well within it",
    )
    ca_file: Path | None = _setting(
        parse.certificates(),
        "",
        "further CA certificates for the activation server; the system's count as well",
        shown="none",
    )
    retry_base: float = _setting(
        parse.duration(0.01, _DAY, zero="0.1s"),
        "1",
        "first pause after an outage; doubles, fully jittered",
        reason="never longer than activation.retry_cap, whatever this says",
    )
    retry_cap: float = _setting(
        parse.duration(0.01, _DAY, zero="0.1s"), "60", "longest pause between two attempts during an outage"
    )
    refused_retry: float = _setting(
        parse.duration(0.05, _YEAR, zero="every second"),
        "900",
        "pause after a refusal that is not 'no seats'",
        reason="a changed key is tried at once, whatever this says",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The activation key, which is read from files only."""

    dir: Path = _setting(
        parse.folder(),
        "/run/secrets/license",
        "folder with the file value (the key) and optionally previous (former keys, one per line)",
    )
    rotation: Rotation = _setting(
        parse.choice(Rotation),
        "activate-first",
        "the order when the key changes",
        reason="with activate-first a refused new key costs nothing: the old seat is kept",
    )
    seats: int = _setting(
        parse.integer(0, 1_000_000),
        "0",
        "how many seats the key has; 0 = unknown",
        reason="only for the metric seats_configured and the alert that nearly all are used: the server alone decides",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The app and its REST API."""

    url: str = _setting(
        parse.address(),
        "http://127.0.0.1:8048",
        "the app's REST API",
        reason="whether it is http or https is found out, again whenever it stops fitting",
    )
    api_key_file: Path | None = _setting(
        parse.readable_file(), "", "file with the app's API key (36 hex digits)", shown="none"
    )
    ca_file: Path | None = _setting(
        parse.certificates(),
        "",
        "CA certificates to verify the app's own certificate with",
        reason="without it only loopback addresses may be unverified",
        shown="none",
    )
    container: str = _setting(parse.name(), "md-icapsrv", "name of the app's container (Kubernetes only)")
    failure_grace: float = _setting(
        parse.duration(0.01, _DAY, zero="at once"),
        "5",
        "how long the app may be gone before its seat is released",
        reason="an app that is back sooner with the same deployment ID keeps its seat",
    )
    unreachable_after: float = _setting(
        parse.duration(0.01, _DAY, zero="at once"),
        "60",
        "how long the app may be silent before that counts as a failure (outside Kubernetes only)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentId:
    """Where the deployment ID comes from."""

    source: IdSource = _setting(
        parse.choice(IdSource),
        "app",
        "app asks the app, pod derives it from the pod's uid, fixed takes deployment_id.value",
        reason="an ID belongs to one running app; a fixed one must never be used twice at a time",
    )
    value: str = _setting(parse.deployment_id(), "", "the deployment ID for deployment_id.source: fixed", shown="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Where seat records live."""

    kind: LedgerKind = _setting(
        parse.choice(LedgerKind), "auto", "auto is kubernetes where a service account token is mounted, else file"
    )
    dir: Path = _setting(
        parse.folder(),
        "/var/lib/license-sidecar",
        "folder of the file ledger: a volume that survives the container and that all sidecars of a key share",
    )
    namespace: str = _setting(parse.name(), "", "namespace of the records (Kubernetes only)", shown="the pod's")
    account_dir: Path = _setting(
        parse.folder(),
        "/var/run/secrets/kubernetes.io/serviceaccount",
        "folder with the service account's token and ca.crt (Kubernetes only)",
        reason="where Kubernetes mounts it, unless a projected volume was put elsewhere",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """How long a seat record counts as fresh."""

    renew: float = _setting(
        parse.duration(0.05, _DAY),
        "15",
        "how often the own record is renewed",
        reason="must be less than a third of lease.duration, so that two missed renewals do no harm",
    )
    duration: float = _setting(
        parse.duration(0.2, _DAY),
        "60",
        "how long a record must go without renewal before its owner may be taken for gone",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """How the licence is confirmed while it is held."""

    app: float = _setting(
        parse.duration(0.05, _DAY), "15", "how often the app is asked for its licence and its deployment ID"
    )
    revalidate: float = _setting(
        parse.duration(0.1, _YEAR, zero="never"), "24h", "how often the activation server is asked again, jittered"
    )
    grace: float = _setting(
        parse.duration(0.05, _YEAR, zero="none"),
        "24h",
        "how long readiness holds without a confirmed licence, counted from the first failed check",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What happens while the activation server refuses."""

    restart_app_after: float = _setting(
        parse.duration(0.05, _YEAR, zero="never"),
        "60",
        "how long a refusal lasts before the app is told to restart; doubles up to 30m",
    )
    dir: Path = _setting(
        parse.folder(),
        "/run/license-sidecar",
        "folder shared with the app, for the file restart-app that its liveness probe sees",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """How the sidecar ends."""

    budget: float = _setting(
        parse.duration(0.1, 3600),
        "20",
        "the time in which the process ends after SIGTERM, whatever hangs",
        reason="must be shorter than the pod's grace period, or the release is cut off",
    )
    drain: float = _setting(
        parse.duration(0.01, _DAY, zero="do not wait"),
        "0",
        "how long to wait for the app to end first (plain-container mode only)",
    )
    release: ReleaseOnStop = _setting(
        parse.choice(ReleaseOnStop),
        "auto",
        "whether a stop gives the seat back; auto: unless only the sidecar is restarted",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaim:
    """Taking back the seats of orphans."""

    enabled: bool = _setting(parse.boolean(), "true", "whether this sidecar reclaims the seats of orphans")
    rate: int = _setting(
        parse.integer(1, 60_000),
        "30",
        "how many seats a minute at most",
        reason="spares the activation server after a large failure",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What readiness asks for besides the seat."""

    require: tuple[str, ...] = _setting(
        parse.choices("license", "database", "engines", "server_profiles"),
        "license, database",
        "which parts of the app's verbose /readyz count; its licence always does",
        reason="an outage elsewhere must not empty the Service",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """Probes, metrics and status."""

    port: int = _setting(
        parse.integer(0, 65535, zero="any free one"),
        "9480",
        "port of probes, metrics and status, on all addresses, IPv4 and IPv6",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is written to standard error."""

    format: LogFormat = _setting(parse.choice(LogFormat), "auto", "auto is text on a terminal and json elsewhere")
    level: LogLevel = _setting(
        parse.choice(LogLevel), "info", "the least urgent level that is written; keys are masked at every level"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """Who we are, as seat records tell others."""

    name: str = _setting(
        parse.name(), "", "name of the pod or of this instance", environ="POD_NAME", shown="the host's name"
    )
    uid: str = _setting(parse.name(), "", "uid of the pod", environ="POD_UID", shown="kept in ledger.dir")
    namespace: str = _setting(
        parse.name(), "", "namespace of the pod (Kubernetes only)", environ="POD_NAMESPACE", shown="none"
    )
    node: str = _setting(parse.name(), "", "name of the node", environ="NODE_NAME", shown="none")
    release: str = _setting(
        parse.name(), "", "name of the Helm release, written into the records (Kubernetes only)", shown="none"
    )


def _no_origins() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The effective settings; all durations are seconds.

    ``origins`` tells where each value came from ("default", "FILE line N", an environment variable, a flag).
    ``mistakes`` are sentences about names that are no settings, ``notices`` about what works and is odd, or what nobody
    wrote; neither keeps the sidecar from starting.
    """

    mode: Mode = _setting(
        parse.choice(Mode),
        "online",
        "online takes and keeps a seat, observe only watches the app's licence, off does nothing",
    )
    activation: Activation = field(default_factory=Activation)
    key: Key = field(default_factory=Key)
    app: App = field(default_factory=App)
    deployment_id: DeploymentId = field(default_factory=DeploymentId)
    ledger: Ledger = field(default_factory=Ledger)
    lease: Lease = field(default_factory=Lease)
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    refused: Refused = field(default_factory=Refused)
    shutdown: Shutdown = field(default_factory=Shutdown)
    reclaim: Reclaim = field(default_factory=Reclaim)
    readiness: Readiness = field(default_factory=Readiness)
    http: Http = field(default_factory=Http)
    log: Log = field(default_factory=Log)
    pod: Pod = field(default_factory=Pod)
    origins: Mapping[str, str] = field(default_factory=_no_origins, compare=False)
    mistakes: tuple[str, ...] = field(default=(), compare=False)
    notices: tuple[str, ...] = field(default=(), compare=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return all sentences, for the log."""
        return self.mistakes + self.notices

    def value(self, name: str) -> Any:
        """Return the value of a setting by its name."""
        section, _, last = name.rpartition(".")
        return getattr(getattr(self, section) if section else self, last)


SECTIONS: Final[Mapping[str, type[Any]]] = {
    each.name: made for each in fields(Config) if isinstance(made := cast("object", each.default_factory), type)
}
"""The sections of the settings by name, in the order in which people read them."""


def _declared(where: type[Any], section: str) -> Iterator[Setting]:
    each: Field[Any]
    for each in fields(where):
        if (declared := each.metadata.get("setting")) is not None:
            yield Setting(name=section + each.name, **declared)


SETTINGS: Final[Mapping[str, Setting]] = {
    setting.name: setting
    for where, section in [(Config, ""), *((made, f"{name}.") for name, made in SECTIONS.items())]
    for setting in _declared(where, section)
}
"""Every setting by name."""
