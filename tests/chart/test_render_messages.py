"""Every sentence that a user of the chart can run into: what is wrong, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

import pytest

from tests.chart.conftest import obtain
from tests.chart.helm import CHART, VERSIONS

GOOD: Final = """
acceptEula: true
license: {existingSecret: icap-license}
database: {host: postgres.example.com, existingSecret: icap-database}
"""
"""Values that render; a case changes them in one point."""
LOOKS_REAL: Final = "-".join(["ABCD"] * 7)
WEAK: Final = "0123456789abcdef0123456789abcdef0123"


THE_KEY_BY_ANOTHER_WAY: Final = {
    "extraEnv": "extraEnv: [{name: MINE, valueFrom: {secretKeyRef: {name: icap-license, key: value}}}]",
    "extraEnvFrom": "extraEnvFrom: [{secretRef: {name: icap-license}}]",
    "extraVolumes": "extraVolumes: [{name: mine, projected: {sources: [{secret: {name: '{{ `icap` }}-license'}}]}}]",
    "extraContainers": "extraContainers: [{name: c, image: i, envFrom: [{secretRef: {name: icap-license}}]}]",
    "extraInitContainers": "extraInitContainers: [{name: c, image: i, envFrom: [{secretRef: {name: icap-license}}]}]",
    "sidecar.extraEnv": "sidecar: {extraEnv: [{name: K, valueFrom: {secretKeyRef: {name: icap-license, key: value}}}]}",
    "app.importPackage.existingSecret": "app: {importPackage: {existingSecret: icap-license}}",
    "olms.existingSecret": "{mode: observe, olms: {existingSecret: icap-license}}",
}
"""Values by which the key would come to somebody else than the sidecar, or into an environment."""
A_MOUNT: Final = {
    "extraVolumeMounts": "extraVolumeMounts: [{{name: {}, mountPath: /x}}]",
    "extraContainers": "extraContainers: [{{name: c, image: i, volumeMounts: [{{name: {}, mountPath: /x}}]}}]",
    "extraInitContainers": "extraInitContainers: [{{name: c, image: i, volumeMounts: [{{name: {}, mountPath: /x}}]}}]",
}


@dataclass(frozen=True, slots=True)
class Case:
    """Values on top of the good ones, and words of the answer; ``kubernetes`` where it matters."""

    about: str
    values: str
    words: tuple[str, ...]
    kubernetes: str = "1.34.0"
    upgrade: bool = False


CASES: Final = (
    Case("no EULA", "acceptEula: false", ("acceptEula is false", "set acceptEula: true")),
    Case(
        "a placeholder for a key",
        "license: {existingSecret: '', key: <SET_LICENSE_KEY_HERE>}",
        ("license.key is a placeholder", "the stored one stays"),
    ),
    Case("the other placeholder", "license: {existingSecret: '', key: SET_LICENSE_KEY_HERE}", ("is a placeholder",)),
    Case("key and Secret", "license: {key: FAKE-KEY0}", ("license.key and license.existingSecret are both set",)),
    Case(
        "no key at all",
        "license: {existingSecret: ''}",
        ("There is no activation key", "Set license.key, or license.existingSecret", "mdicapsrv-license-key"),
    ),
    Case(
        "blanks for a key",
        'license: {existingSecret: "", key: " \\n"}',
        ("There is no activation key",),
    ),
    Case("former keys and Secret", "license: {previous: [FAKE-KEY0]}", ("entry `previous` of your Secret",)),
    Case(
        "API key twice",
        "app: {apiKey: {value: a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8, existingSecret: mine}}",
        ("app.apiKey.value and app.apiKey.existingSecret are both set",),
    ),
    Case("API key too short", "app: {apiKey: {value: abc123}}", ("breaks the product's rule", "exactly 36")),
    Case("API key with runs", f"app: {{apiKey: {{value: {WEAK}}}}}", ("at most 3 letters and 3 digits in a row",)),
    Case(
        "API key with too few digits",
        "app: {apiKey: {value: abc1abc1abc1abc1abc1abc1abc1abc1abc1}}",
        ("at least 10 letters and 10 digits",),
    ),
    Case(
        "credentials twice",
        "app: {credentials: {user: admin, existingSecret: mine}}",
        ("app.credentials.existingSecret is set together",),
    ),
    Case("two databases", "database: {embedded: {enabled: true}}", ("database.host and database.embedded.enabled",)),
    Case("no database", "database: {host: '', existingSecret: ''}", ("The app needs a database", "embedded")),
    Case("database Secret and user", "database: {user: icap}", ("database.existingSecret is set together",)),
    Case(
        "database without credentials",
        "database: {existingSecret: '', user: icap}",
        ("database.host needs database.user and database.password",),
    ),
    Case(
        "native on 1.28",
        "sidecar: {mode: native}",
        ("sidecar.mode is native", "Kubernetes v1.28.9", "need 1.29 or later", "sidecar.mode: auto"),
        kubernetes="1.28.9",
    ),
    Case(
        "a setting as a variable",
        "sidecar: {extraEnv: [{name: LICENSE_SIDECAR_LEASE_RENEW, value: 5s}]}",
        ("LICENSE_SIDECAR_LEASE_RENEW is a setting", "sidecar.settings"),
    ),
    Case(
        "a grace period that is too short",
        "terminationGracePeriodSeconds: 30",
        ("terminationGracePeriodSeconds is 30, but a pod may need 65", "10 + app.stopSeconds 30", "20 + 5"),
    ),
    Case("two authorities", "activation: {ca: {pem: PEM, existingSecret: mine}}", ("exclude each other",)),
    Case("no service account", "serviceAccount: {create: false}", ("serviceAccount.name",)),
    Case(
        "more pods than seats",
        "{replicas: 5, license: {seats: 4}}",
        ("license.seats is 4, but up to 5 pods", "replicas 5 + 0 of surge", "more seats"),
    ),
    Case(
        "surge over the seats, in per cent",
        "{replicas: 10, license: {seats: 12}, strategy: {rollingUpdate: {maxSurge: 25%}}}",
        ("up to 13 pods", "replicas 10 + 3 of surge"),
    ),
    Case(
        "autoscaling over the seats",
        "{autoscaling: {enabled: true, maxReplicas: 10}, license: {seats: 9}}",
        ("license.seats is 9, but up to 10 pods", "autoscaling.maxReplicas 10 + 0"),
    ),
    Case("a roll that cannot go on", "strategy: {rollingUpdate: {maxUnavailable: 0}}", ("could ever be replaced",)),
    Case(
        "fewest over most", "autoscaling: {enabled: true, minReplicas: 5}", ("autoscaling.minReplicas 5 is more than",)
    ),
    Case(
        "fewest is none",
        "autoscaling: {enabled: true, minReplicas: 0}",
        ("autoscaling.minReplicas is 0", "type External or Object", "Set it to 1", "replicas: null"),
    ),
    Case(
        "an image of no version",
        "app: {image: {tag: ''}}",
        ("app.image has neither tag nor digest", "Set app.image.tag, or app.image.digest"),
    ),
    Case(
        "a database of no version",
        "database: {host: '', existingSecret: '', embedded: {enabled: true, image: {tag: ''}}}",
        ("database.embedded.image has neither tag nor digest",),
    ),
    Case(
        "a share of nothing",
        "{autoscaling: {enabled: true}, app: {resources: {requests: {cpu: null}}}}",
        ("aims at a share of app.resources.requests.cpu",),
    ),
    Case(
        "a volume for one pod",
        "{replicas: 2, persistence: {enabled: true, accessModes: [ReadWriteOncePod]}}",
        ("ReadWriteOncePod, but there can be several pods",),
    ),
    Case("one port twice", "app: {ports: {icaps: 9480}}", ("sidecar.port and app.ports.icaps are one port, 9480",)),
    Case("a port of the app twice", "app: {ports: {rest: 1344}}", ("app.ports.icap and app.ports.rest are one port",)),
    Case("a label of the selector", "podLabels: {app: mine}", ("podLabels: the label app belongs to the chart",)),
    Case("a label of ours", "commonLabels: {helm.sh/chart: mine}", ("commonLabels: the label helm.sh/chart",)),
    Case(
        "a label of a monitor",
        "monitoring: {rules: {labels: {app.kubernetes.io/name: x}}}",
        ("monitoring.rules.labels",),
    ),
    Case("a key for the app", "extraEnv: [{name: LICENSE_KEY, value: x}]", ("extraEnv: LICENSE_KEY", "seats leak")),
    Case(
        "a key for the app by the way of its package",
        "app: {importPackage: {env: {LICENSE_KEY: x}}}",
        ("app.importPackage.env: LICENSE_KEY would make the app license itself", "seats leak"),
    ),
    Case(
        "a key for the app out of its package",
        "app: {importPackage: {existingSecret: p, secretEnv: {LICENSE_KEY: value, DB_PWD: value}}}",
        ("app.importPackage.secretEnv: LICENSE_KEY would", "app.importPackage.secretEnv: DB_PWD is set by the chart"),
    ),
    Case("the vendor's clean-up", "extraEnv: [{name: LICENSING_CLEANUP, value: 'true'}]", ("seats leak",)),
    Case(
        "a variable of the chart", "extraEnv: [{name: DB_HOST, value: x}]", ("extraEnv: DB_HOST is set by the chart",)
    ),
    Case("a certificate that is none", "tls: {https: {enabled: true}}", ("tls.https is on without a certificate",)),
    Case(
        "half of a pair",
        "tls: {icaps: {enabled: true, certSecret: a}}",
        ("tls.icaps is on without", "both certSecret and certKeySecret"),
    ),
    Case(
        "a pair and one",
        "tls: {icaps: {enabled: true, existingSecret: a, certSecret: b, certKeySecret: c}}",
        ("tls.icaps: existingSecret and the pair",),
    ),
    Case(
        "NGINX's certificate alone", "tls: {nginxs: {enabled: true, existingSecret: a}}", ("app.nginx.enabled: true",)
    ),
    Case("a route to nowhere", "httpRoute: {enabled: true}", ("httpRoute.parentRefs",)),
    Case(
        "both monitors",
        "monitoring: {type: 'pod,service'}",
        ('monitoring.type is "pod,service"', "auto, pod, service, annotations", "count every pod twice"),
    ),
    Case(
        "a monitor and annotations",
        "{monitoring: {enabled: true}, podAnnotations: {prometheus.io/scrape: 'true'}}",
        ("podAnnotations has prometheus.io/scrape", "monitoring.type is pod"),
    ),
    Case("two licence systems", "olms: {url: https://olms.example.com}", ("Set mode: observe",)),
    Case(
        "a variable that is not the licence server's",
        "{mode: observe, olms: {env: {OTHER: x}}}",
        ("olms.env: OTHER is none of",),
    ),
    Case(
        "a token in the open",
        "{mode: observe, olms: {env: {OLMS_TOKEN: x}}}",
        ("olms.env: OLMS_TOKEN looks like a secret", "olms.existingSecret"),
    ),
    Case("two proxies", "proxy: {http: 'http://p:1', existingSecret: x}", ("proxy.existingSecret is set together",)),
    Case("a password in the open", "proxy: {https: 'http://u:p@proxy:1'}", ("for all to read", "proxy.existingSecret")),
    Case(
        "a policy without the proxy",
        "{proxy: {https: 'http://p:1'}, networkPolicy: {enabled: true, egress: {database: {cidrs: [192.0.2.1/32]}}}}",
        ("networkPolicy.egress.proxy.cidrs", "no seat can be taken"),
    ),
    Case("a policy without the database", "networkPolicy: {enabled: true}", ("networkPolicy.egress.database.cidrs",)),
    Case(
        "a policy without the licence server",
        "{mode: observe, olms: {url: 'https://o'}, "
        "networkPolicy: {enabled: true, egress: {database: {cidrs: [192.0.2.1/32]}}}}",
        ("networkPolicy.egress.olms.cidrs",),
    ),
    Case(
        "a mock and a server",
        "{mockActivation: {enabled: true}, activation: {url: 'http://mine:80'}}",
        ("The mock has an address of its own",),
    ),
    Case(
        "a real key for the mock",
        f"{{mockActivation: {{enabled: true, standInApp: false}}, license: {{existingSecret: '', key: {LOOKS_REAL}}}}}",
        ("a key that looks real in license.key", "the mock licenses nothing"),
    ),
    Case(
        "a real former key for the mock",
        "{mockActivation: {enabled: true, standInApp: false}, license: {existingSecret: '', key: FAKE-KEY0, "
        f"previous: [{LOOKS_REAL}]}}}}",
        ("a key that looks real in license.previous", "gives no real seat back"),
    ),
    *(
        Case(f"the key's Secret by {where}", values, (f"{where} names the Secret icap-license", "a Secret of its own"))
        for where, values in THE_KEY_BY_ANOTHER_WAY.items()
    ),
    *(
        Case(f"{volume} by {where}", values.format(volume), (f"{where} mounts {volume}", "for the sidecar alone"))
        for volume in ("license-key", "license-sidecar-token", "app-api-key")
        for where, values in A_MOUNT.items()
    ),
    Case(
        "taking over under other names",
        "{naming: release, adoption: {fromVendor: true}}",
        ("adoption.fromVendor needs naming: fixed",),
    ),
    Case(
        "losing the vendor's database",
        "{adoption: {fromVendor: true}, database: {host: '', existingSecret: '', embedded: {enabled: true}}}",
        ("embedded database is not taken over", "adoption.acceptDatabaseLoss: true"),
    ),
    Case("a typo", "license: {seat: 3}", ("additional properties 'seat' not allowed",)),
    Case("a typo at the top", "replica: 3", ("additional properties 'replica' not allowed",)),
    Case("a setting with a typo", "sidecar: {settings: {lease: {renewal: 5s}}}", ("'renewal' not allowed",)),
    Case("a setting of the chart's", "sidecar: {settings: {ledger: {kind: file}}}", ("'ledger' not allowed",)),
    Case("a port of no name", "service: {nodePorts: {ICAP: 31344}}", ("'ICAP' not allowed",)),
    Case("a typo in the surge", "strategy: {rollingUpdate: {maxSurg: 1}}", ("'maxSurg' not allowed",)),
    Case("a surge that is none", "strategy: {rollingUpdate: {maxSurge: some}}", ("/strategy/rollingUpdate/maxSurge",)),
    Case("a strategy that is none", "strategy: {type: Rolling}", ("'RollingUpdate', 'Recreate'",)),
    Case("a typo in a size", "app: {resources: {limit: {cpu: 1}}}", ("'limit' not allowed",)),
    Case(
        "a file that no ConfigMap can hold",
        "app: {trustCertificates: {files: {my ca.pem: PEM}}}",
        ("/app/trustCertificates/files", "'my ca.pem' not allowed"),
    ),
    Case(
        "a variable that is none",
        "app: {importPackage: {env: {MY-PATH: x}}}",
        ("/app/importPackage/env", "'MY-PATH' not allowed"),
    ),
    Case("a wrong word", "sidecar: {mode: sidecar}", ("/sidecar/mode", "'auto', 'native', 'container'")),
    Case("a number in words", "replicas: two", ("/replicas", "got string, want null or integer")),
    Case("an alert that is none", "monitoring: {rules: {enabled: true, disabled: [X]}}", ('there is no alert "X"',)),
)


@cache
def refusal(major: int, case: Case) -> str:
    """Return what Helm says to a case, in one line."""
    import tempfile  # noqa: PLC0415 - only here

    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as good:
        good.write(GOOD)
        good.flush()
        more = ["--values", good.name, *(["--is-upgrade"] if case.upgrade else [])]
        return obtain(major).refusal(case.values, kubernetes=case.kubernetes, more=more)


def test_the_good_values_are_good() -> None:
    """What the cases change renders as it is: a refusal comes from the change."""
    for major in VERSIONS:
        assert obtain(major).refusal(GOOD) == ""


@pytest.mark.parametrize("major", VERSIONS, ids=lambda it: f"helm-{it}")
@pytest.mark.parametrize("case", CASES, ids=lambda it: it.about.replace(" ", "-"))
def test_the_user_is_told(case: Case, major: int) -> None:
    """A contradiction is an error before anything is installed, in a sentence that says what to do."""
    said = refusal(major, case)
    assert [words for words in case.words if words not in said] == [], said


def test_every_sentence_of_the_chart_is_met() -> None:
    """No `fail` is untested: each sentence of the templates is said in one of the cases."""
    source = (CHART / "templates" / "_validate.tpl").read_text(encoding="utf-8")
    sentences = re.findall(r'append \$faults (?:\(printf )?"((?:[^"\\]|\\.)*)"', source)
    assert len(sentences) == source.count("append $faults") > 40
    said = [refusal(4, case) for case in CASES]
    patterns = [re.sub(r"%[dsq]", ".*", re.escape(it).replace("\\%", "%")) for it in sentences]
    unmet = [it for it in patterns if not any(re.search(it, text) for text in said)]
    assert unmet == []


def test_all_faults_are_told_at_once() -> None:
    """Nobody mends one after the other."""
    said = obtain(3).refusal("{replicas: 5, license: {seats: 4}, tls: {https: {enabled: true}}}")
    for words in ("acceptEula", "no activation key", "needs a database", "license.seats", "tls.https"):
        assert words in said


@pytest.mark.parametrize(
    "values",
    [
        "{replicas: 10, license: {seats: 10}}",
        "{autoscaling: {enabled: true, maxReplicas: 10}, license: {seats: 10}}",
        "{replicas: 10, license: {seats: 10}, strategy: {type: Recreate}}",
        "strategy: {type: Recreate, rollingUpdate: null}",
        "strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 1}}",
        "service: {type: NodePort, nodePorts: {rest: 30001, icap: 30002, icaps: 30003, nginx: 30004, nginxs: 30005}}",
        "app: {resources: {requests: {cpu: 500m, memory: 1}, limits: null, claims: [{name: gpu}]}}",
        f"app: {{image: {{tag: '', digest: 'sha256:{'0' * 64}'}}}}",
        "{mockActivation: {enabled: true}, license: {existingSecret: '', key: FAKE-KEY0}, app: {image: {tag: ''}}}",
        "autoscaling: {enabled: true, minReplicas: 0, metrics: [{type: External, external: {}}]}",
        "autoscaling: {minReplicas: 0}",
        "{replicas: null, license: {seats: 1}}",
        "{mode: observe, replicas: 10, license: {seats: 1}}",
        "sidecar: {mode: auto}",
        "sidecar: {extraVolumeMounts: [{name: mine, mountPath: /x}]}",
        "extraVolumes: [{name: mine, secret: {secretName: icap-other}}, {name: e, emptyDir: {}}]",
        "{extraEnv: [{name: A, value: icap-license}], extraEnvFrom: [{configMapRef: {name: icap-license}}]}",
        "extraContainers: [{name: c, image: i, volumeMounts: [{name: mine, mountPath: /x}]}]",
        "monitoring: {enabled: true, labels: {app: prometheus, app.kubernetes.io/part-of: prometheus}}",
        "{commonLabels: {team: a}, service: {labels: {team: b}}, hooks: {podLabels: {team: c}}}",
        "{commonAnnotations: {team: a}, hooks: {podAnnotations: {team: c}}, monitoring: {dashboard: {enabled: true}}}",
        "podAnnotations: {kubectl.kubernetes.io/default-container: license-sidecar}",
        "mode: off",
        "global: {anything: 1}",
        "enabled: true",
        "terminationGracePeriodSeconds: 65",
        "{mockActivation: {enabled: true, standInApp: false}, license: {existingSecret: '', key: FAKE-KEY0}}",
    ],
)
def test_what_fits_is_let_through(values: str) -> None:
    """The guards stop contradictions and nothing else."""
    assert refusal(4, Case("", values, (), kubernetes="1.28.9")) == ""


def test_an_upgrade_needs_no_secrets_again() -> None:
    """The stored key and database password are left alone, so nobody has to keep them in values."""
    values = "{license: {existingSecret: ''}, database: {existingSecret: ''}}"
    assert refusal(4, Case("", values, (), upgrade=True)) == ""
    assert "There is no activation key" in refusal(4, Case("", values, ()))
