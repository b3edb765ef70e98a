"""Settings come from defaults, file, environment and flags; every fault is told at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.config import SETTINGS, Config, LedgerKind, Misconfigured, Surroundings, load
from sidecar.core.policy import IdSource, Mode, Route

Load = Callable[..., Config]


@pytest.fixture
def read(tmp_path: Path) -> Load:
    """Load settings from given texts, in surroundings without Kubernetes."""

    def read(file: str | None = None, environ: dict[str, str] | None = None, **flags: str) -> Config:
        path = tmp_path / "sidecar.yaml"
        if file is not None:
            path.write_text(file)
        around = Surroundings(environ=environ or {}, host_name="host-1")
        texts = {name.replace("__", "."): text for name, text in flags.items()}
        return load(texts, file=None if file is None else str(path), surroundings=around)

    return read


def faults(read: Load, *arguments: object, **flags: str) -> tuple[str, ...]:
    """Return the faults of settings that must have some."""
    with pytest.raises(Misconfigured) as caught:
        read(*arguments, **flags)
    return caught.value.faults


def test_without_anything_the_defaults_of_the_design_hold(read: Load) -> None:
    """design.md section 7, a sample of each kind."""
    config = read()
    assert config.mode is Mode.ONLINE
    assert config.activation.url == "https://activation.dl.opswat.com"
    assert config.activation.route is Route.AUTO
    assert (config.activation.late, config.activation.timeout, config.activation.refused_retry) == (120, 10, 900)
    assert config.activation.ca_file is None
    assert config.key.dir == Path("/run/secrets/license")
    assert (config.lease.renew, config.lease.duration) == (15, 60)
    assert config.heartbeat.revalidate == 24 * 3600
    assert config.readiness.require == ("license", "database")
    assert config.reclaim.enabled is True
    assert config.http.port == 9480
    assert config.ledger.kind is LedgerKind.FILE
    assert config.pod.name == "host-1"
    assert config.origins["pod.name"] == "host name"
    assert config.origins["lease.renew"] == "default"
    assert config.warnings == ()


def test_the_later_source_wins(read: Load) -> None:
    """Flags over environment over file over defaults; the origin says which one it was."""
    file = "lease:\n  duration: 40\n  renew: 1\nheartbeat.app: 5\n"
    config = read(file, {"LICENSE_SIDECAR_LEASE_RENEW": "2", "LICENSE_SIDECAR_HEARTBEAT_APP": "6"}, heartbeat__app="7s")
    assert (config.lease.duration, config.origins["lease.duration"]) == (40, "sidecar.yaml:2")
    assert (config.lease.renew, config.origins["lease.renew"]) == (2, "LICENSE_SIDECAR_LEASE_RENEW")
    assert (config.heartbeat.app, config.origins["heartbeat.app"]) == (7, "--heartbeat-app")


def test_a_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    """LICENSE_SIDECAR_CONFIG stands for --config."""
    (tmp_path / "a.yaml").write_text("mode: observe")
    config = load(surroundings=Surroundings(environ={"LICENSE_SIDECAR_CONFIG": str(tmp_path / "a.yaml")}))
    assert config.mode is Mode.OBSERVE


def test_yaml_scalars_are_texts(read: Load) -> None:
    """The word off stays a word, 0123 is the number 123, and 1:30 is no sexagesimal 90."""
    config = read("mode: off\nreclaim: {enabled: off, rate: 012}\nactivation: {comment: 1_000}\npod: {name: 0x10}\n")
    assert config.mode is Mode.OFF
    assert config.reclaim.enabled is False
    assert config.reclaim.rate == 12
    assert config.activation.comment == "1_000"
    assert config.pod.name == "0x10"
    assert "lease.duration (sidecar.yaml:1): '1:30': not a duration" in faults(read, "lease: {duration: 1:30}")[0]


def test_a_list_may_be_written_as_a_yaml_list(read: Load) -> None:
    """A list and a text with commas mean the same; repeats are dropped."""
    expected = ("license", "engines")
    assert read("readiness:\n  require: [license, engines, license]\n").readiness.require == expected
    assert read(readiness__require="license,engines").readiness.require == expected


@pytest.mark.parametrize("empty", ["", "# nothing\n", "---\n", "activation:\nlease: ~\n"])
def test_an_empty_file_or_section_changes_nothing(read: Load, empty: str) -> None:
    """A section whose lines are all commented out is no fault."""
    assert read(empty) == read()


def test_an_empty_environment_variable_counts_as_absent(read: Load) -> None:
    """Compose files write ${NAME:-}."""
    assert read(None, {"LICENSE_SIDECAR_ACTIVATION_URL": "", "POD_NAME": ""}) == read()


def test_the_pod_is_known_from_the_downward_variables(read: Load) -> None:
    """POD_NAME and its like count, but the setting's own variable wins."""
    environ = {
        "POD_NAME": "web-0",
        "POD_UID": "6f1c1f0e-1111-4222-8333-944445555666",
        "POD_NAMESPACE": "icap",
        "NODE_NAME": "node-1",
        "LICENSE_SIDECAR_POD_NODE": "node-2",
    }
    config = read(None, environ)
    assert (config.pod.name, config.pod.namespace, config.pod.node) == ("web-0", "icap", "node-2")
    assert config.pod.uid.startswith("6f1c1f0e")
    assert config.ledger.namespace == "icap"
    assert config.origins["pod.name"] == "POD_NAME"


def test_every_fault_is_told_at_once_with_its_source(read: Load) -> None:
    """Nobody should have to start the program five times to find five mistakes."""
    told = faults(
        read,
        "activaton: {url: x}\nlease:\n  renew: soon\n",
        {"LICENSE_SIDECAR_HTTP_PORT": "70000", "LICENSE_SIDECAR_MODE": "onlin"},
        activation__url="activation.example.com",
        shutdown__budget="0",
    )
    assert len(told) == 6
    assert "activaton (sidecar.yaml:1): there is no such setting: did you mean activation?" in told
    for start in (
        "lease.renew (sidecar.yaml:3): 'soon': not a duration",
        "http.port (LICENSE_SIDECAR_HTTP_PORT): '70000': not a whole number of 0 to 65535",
        "mode (LICENSE_SIDECAR_MODE): 'onlin': not one of online, observe, off: did you mean online?",
        "activation.url (--activation-url): does not begin with http:// or https://",
        "shutdown.budget (--shutdown-budget): '0': out of range",
    ):
        assert any(fault.startswith(start) for fault in told), start


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("lease: {renew: 1}\nlease: {renew: 2}", "lease (sidecar.yaml:2): stands there twice, also in line 1"),
        ("lease: {renew: 1}\nlease.renew: 2", "lease.renew (sidecar.yaml:2): stands there twice, also in line 1"),
        ("lease:\n  renew: 1\n  renew: 1", "lease.renew (sidecar.yaml:3): stands there twice, also in line 2"),
        ("lease.renw: 1", "lease.renw (sidecar.yaml:1): there is no such setting: did you mean lease.renew?"),
        ("banana: 1", "banana (sidecar.yaml:1): there is no such setting"),
        ("lease: 5", "lease (sidecar.yaml:1): lease is a section"),
        ("- a\n- b", "settings (sidecar.yaml:1): the file is a list of settings"),
        ("just words", "settings (sidecar.yaml:1): the file is a list of settings"),
        ("? [a, b]\n: c", "settings (sidecar.yaml:1): a name must be plain text"),
        ("lease: {renew: [1, 2]}", "lease.renew (sidecar.yaml:1): takes one value, not a list"),
        ("lease: {renew: {a: 1}}", "lease.renew (sidecar.yaml:1): takes a value"),
        ("readiness: {require: [{a: 1}]}", "readiness.require (sidecar.yaml:1): takes a value"),
        ("key: {dir: ''}", "key.dir (sidecar.yaml:1): is empty: write the path of a folder"),
        ("lease: {renew: ~}", "lease.renew (sidecar.yaml:1): not a duration"),
        ("<<: {mode: off}", "<< (sidecar.yaml:1): there is no such setting"),
        ("a: &a {b: *a}", "a (sidecar.yaml:1): there is no such setting"),
        ("key: {value: x}", "key.value (sidecar.yaml:1): there is no such setting, and keys are read from files only"),
        ("activation:\n  key: x", "activation.key (sidecar.yaml:2): there is no such setting, and keys are read"),
    ],
)
def test_a_fault_in_the_file_names_its_line(read: Load, file: str, fault: str) -> None:
    """Unknown, doubled and misplaced names are faults, never ignored."""
    told = faults(read, file)
    assert len(told) == 1
    assert told[0].startswith(fault)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a: [1\nb: }", "is not YAML"),
        (b"a: 1\n---\nb: 2\n", "is not YAML"),
        (b"a: \xff", "is not UTF-8"),
        (b"a: \x00", "is not YAML"),
        (b"#" * (1024 * 1024 + 1), "is larger than 1 MiB"),
    ],
    ids=["broken", "two documents", "not UTF-8", "control character", "too large"],
)
def test_a_file_that_is_no_settings_file_is_one_fault(tmp_path: Path, content: bytes, fault: str) -> None:
    """The message names the file and does not quote from it."""
    path = tmp_path / "sidecar.yaml"
    path.write_bytes(content)
    with pytest.raises(Misconfigured) as caught:
        load(file=str(path), surroundings=Surroundings(environ={}))
    assert len(caught.value.faults) == 1
    assert fault in caught.value.faults[0]
    assert str(path) in caught.value.faults[0]


def test_BOUNDED_STOP_settings_in_a_pipe_are_not_waited_for(tmp_path: Path) -> None:  # noqa: N802 - the invariant
    """Nobody may ever write into it; a device such as /dev/null is as good as an empty file."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Misconfigured, match="no regular file"):
        load(file=str(tmp_path / "pipe"), surroundings=Surroundings(environ={}))
    nothing = load(file="/dev/null", surroundings=Surroundings(environ={}, host_name="host-1"))
    assert nothing == load(surroundings=Surroundings(environ={}, host_name="host-1"))


def test_a_missing_file_is_one_fault(tmp_path: Path) -> None:
    """A named file must be there."""
    with pytest.raises(Misconfigured, match="cannot be read \\(No such file"):
        load(file=str(tmp_path / "absent.yaml"), surroundings=Surroundings(environ={}))


def test_unknown_environment_variables_only_warn(read: Load) -> None:
    """Somebody else may own the name; a misspelt one is hinted at."""
    config = read(None, {"LICENSE_SIDECAR_LEASE_RENW": "1", "LICENSE_SIDECARS": "x"})
    (warning,) = config.warnings
    assert warning.startswith("the environment variable LICENSE_SIDECAR_LEASE_RENW is no setting and is ignored")
    assert warning.endswith(": did you mean LICENSE_SIDECAR_LEASE_RENEW?")


def test_what_a_service_injects_is_no_setting(read: Load) -> None:
    """A Service called license-sidecar-http makes Kubernetes write an address into LICENSE_SIDECAR_HTTP_PORT."""
    config = read(
        None,
        {
            "LICENSE_SIDECAR_HTTP_PORT": "tcp://10.0.0.1:9480",
            "LICENSE_SIDECAR_HTTP_SERVICE_HOST": "10.0.0.1",
            "LICENSE_SIDECAR_HTTP_PORT_9480_TCP_ADDR": "10.0.0.1",
        },
    )
    assert config.http.port == 9480
    assert len(config.warnings) == 1
    assert "LICENSE_SIDECAR_HTTP_PORT," in config.warnings[0]
    assert "enableServiceLinks" in config.warnings[0]


def test_a_mounted_token_means_kubernetes(read: Load, tmp_path: Path) -> None:
    """Where a service account's token is mounted, the records are Leases in the pod's namespace."""
    assert read().ledger.kind is LedgerKind.FILE
    (tmp_path / "token").write_text("now there is one")
    account = {"ledger__account_dir": str(tmp_path)}
    pod = {"pod__name": "icap-0", "pod__uid": "u-1", "pod__namespace": "licensed"}
    config = read(**account, **pod)
    assert (config.ledger.kind, config.ledger.namespace) == (LedgerKind.KUBERNETES, "licensed")
    assert read(**account, ledger__kind="file").ledger.kind is LedgerKind.FILE
    assert read(**account, mode="observe").mode is Mode.OBSERVE


@pytest.mark.parametrize("missing", ["pod.name", "pod.uid", "pod.namespace"])
def test_kubernetes_needs_to_know_the_pod(read: Load, missing: str) -> None:
    """A record in Kubernetes names its pod; the host's name is not taken for it, and what is missing is told."""
    pod = {"pod__name": "icap-0", "pod__uid": "u-1", "pod__namespace": "licensed"}
    del pod[missing.replace(".", "__")]
    (fault,) = faults(read, ledger__kind="kubernetes", **pod)
    assert f"needs {missing}: set {missing.upper().replace('.', '_')} from the downward API" in fault


def test_a_host_without_a_usable_name_needs_one(tmp_path: Path) -> None:
    """The instance's name is a file's name in the ledger."""
    around = Surroundings(environ={}, host_name="../x")
    with pytest.raises(Misconfigured, match=r"pod.name \(default\) is not known"):
        load(surroundings=around)
    assert load({"pod.name": "a"}, surroundings=around).pod.name == "a"


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        ({"lease__renew": "20"}, "lease.renew (--lease-renew: 20s) must be less than a third of lease.duration"),
        ({"lease__duration": "45"}, "[lease.duration (--lease-duration: 45s)]"),
        ({"deployment_id__source": "fixed"}, "deployment_id.value (default: none) is missing"),
    ],
)
def test_settings_that_contradict_each_other_are_faults(read: Load, flags: dict[str, str], fault: str) -> None:
    """Both settings are named with value and origin, and what to do."""
    (told,) = faults(read, **flags)
    assert fault in told


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("activation.late", ("0", "0.05", "2", "2h")),
        ("activation.timeout", ("0.1", "1", "25")),
        ("activation.retry_base", ("0", "0.01", "1h")),
        ("activation.retry_cap", ("0", "0.01", "0.5")),
        ("activation.refused_retry", ("0", "0.05", "1", "30d")),
        ("app.failure_grace", ("0", "0.1", "2h")),
        ("app.unreachable_after", ("0", "0.05", "1")),
        ("lease.renew", ("0.05", "0.2", "19")),
        ("lease.duration", ("46", "24h")),
        ("heartbeat.app", ("0.05", "0.1", "24h")),
        ("heartbeat.revalidate", ("0", "0.1", "1")),
        ("heartbeat.grace", ("0", "0.1", "1")),
        ("refused.restart_app_after", ("0", "0.05", "1", "2d")),
        ("shutdown.budget", ("0.1", "1", "2")),
        ("shutdown.drain", ("0", "0.05", "1", "2h")),
        ("reclaim.rate", ("1", "6000")),
        ("log.level", ("INFO", "Debug")),
        ("log.format", ("JSON",)),
        ("mode", ("ONLINE", "Observe", "OFF")),
        ("activation.route", ("Product",)),
        ("deployment_id.source", ("POD",)),
        ("ledger.kind", ("FILE",)),
        ("key.rotation", ("Release-First",)),
        ("shutdown.release", ("ALWAYS",)),
        ("readiness.require", ("License, DATABASE",)),
        ("reclaim.enabled", ("FALSE",)),
    ],
)
def test_whatever_the_design_does_not_forbid_is_taken(read: Load, name: str, texts: tuple[str, ...]) -> None:
    """Somebody who tries the sidecar wants everything to happen in two seconds, or hardly ever: no value is wrong.

    Only what design.md enforces is a fault (`lease.renew` against `lease.duration`); the rest is at most a warning.
    """
    for text in texts:
        assert read(**{name.replace(".", "__"): text}).value(name) == SETTINGS[name].kind.read(text)


def test_a_lease_of_a_second_is_taken_with_its_renewal(read: Load) -> None:
    """The two belong together."""
    config = read(lease__duration="1", lease__renew="0.2")
    assert (config.lease.duration, config.lease.renew, config.warnings) == (1, 0.2, ())


def test_an_unreadable_setting_is_not_also_a_contradiction(read: Load) -> None:
    """One mistake is told once."""
    assert len(faults(read, lease__renew="x", lease__duration="1")) == 1


def test_a_fixed_deployment_id_is_taken_as_it_is(read: Load) -> None:
    """No pattern of the vendor is published."""
    config = read(deployment_id__source="fixed", deployment_id__value=" MSCLabc ")
    assert config.deployment_id.source is IdSource.FIXED
    assert config.deployment_id.value == "MSCLabc"


@pytest.mark.parametrize(
    ("flags", "warning"),
    [
        ({"activation__url": "http://licences.example.com"}, "everybody on the way can read the key"),
        ({"activation__url": "https://x.example.com/activation/"}, "ends with /activation"),
        ({"shutdown__budget": "5"}, "is longer than shutdown.budget"),
        ({"activation__retry_base": "2m"}, "activation.retry_base (--activation-retry-base: 2m) is longer than"),
        ({"activation__retry_cap": "0.5"}, "is longer than activation.retry_cap, which counts for both"),
        ({"activation__late": "5"}, "activation.late (--activation-late: 5s) is shorter than activation.timeout"),
        ({"deployment_id__value": "MSCL1"}, "is ignored"),
    ],
)
def test_what_is_allowed_but_odd_is_warned_of(read: Load, flags: dict[str, str], warning: str) -> None:
    """A warning keeps nobody from starting."""
    (told,) = read(**flags).warnings
    assert warning in told


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "localhost", "mock.localhost"])
def test_plain_http_to_this_machine_is_fine(read: Load, host: str) -> None:
    """The mock runs on loopback addresses."""
    assert read(activation__url=f"http://{host}").warnings == ()


def test_NO_SECRET_a_misplaced_key_is_not_repeated(read: Load) -> None:  # noqa: N802 - the invariant's name
    """A key in the wrong setting, a password in an address, a key as a name: no fault and no warning shows them."""
    key = "C0F1-C0F2-C0F3-C0F4-C0F5-C0F6-C0F7"
    environ = {f"LICENSE_SIDECAR_{key}": "x", "LICENSE_SIDECAR_LEASE_RENEW": f"{'x' * 40}{key}"}
    file = f"activation: {{route: {key}, {key}: 1}}\n{key.lower()}: 2\n"
    told = faults(read, file, environ, activation__url=f"https://user:{key}@host", app__ca_file=f"/{key}")
    assert len(told) == 6
    assert "C0F" not in "\n".join(told).upper()
    assert all("user:" not in fault for fault in told)


def test_every_setting_of_the_design_is_there() -> None:
    """The names of design.md section 7, two that a pod needs besides, and what the metric seats_configured needs."""
    expected = """
        mode activation.url activation.route activation.late activation.quantity activation.comment activation.timeout
        activation.ca_file activation.retry_base activation.retry_cap activation.refused_retry key.dir key.rotation
        app.url app.api_key_file app.ca_file app.container app.failure_grace app.unreachable_after deployment_id.source
        deployment_id.value ledger.kind ledger.dir ledger.namespace lease.renew lease.duration heartbeat.app
        heartbeat.revalidate heartbeat.grace refused.restart_app_after refused.dir shutdown.budget shutdown.drain
        shutdown.release reclaim.enabled reclaim.rate readiness.require http.port log.format log.level pod.name pod.uid
        pod.namespace pod.node pod.release ledger.account_dir key.seats
    """
    assert set(SETTINGS) == set(expected.split())


def test_names_are_the_same_everywhere_and_never_collide() -> None:
    """A variable and a flag belong to one setting."""
    assert SETTINGS["activation.url"].environment == "LICENSE_SIDECAR_ACTIVATION_URL"
    assert SETTINGS["deployment_id.value"].flag == "--deployment-id-value"
    assert len({setting.environment for setting in SETTINGS.values()}) == len(SETTINGS)
    assert len({setting.flag for setting in SETTINGS.values()}) == len(SETTINGS)


def test_every_value_shown_is_read_back_as_itself(read: Load) -> None:
    """What check-config prints can be written into a file."""
    config = read()
    for name, setting in SETTINGS.items():
        if (shown := setting.kind.show(config.value(name))) != "none":
            assert setting.kind.read(shown) == config.value(name), name
