"""The ways in and out: Service, Ingress, route, policies, and how metrics are collected."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import obtain
from tests.chart.manifests import Manifest, selects
from tests.chart.test_render_components import of_ci
from tests.chart.test_render_messages import GOOD
from tests.chart.test_render_vendor_pains import good

MONITORS: Final = ("monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/ServiceMonitor")


def test_the_service_is_the_single_way_in() -> None:
    """REST, ICAP and ICAPS, each told to meshes for what it is; NGINX only when it is on; metrics not at all."""
    ports = {it["name"]: it for it in good("replicas: 1").one("Service", "md-icapsrv")["spec"]["ports"]}
    assert {it: (port["port"], port["appProtocol"]) for it, port in ports.items()} == {
        "rest": (8048, "http"),
        "icap": (1344, "tcp"),
        "icaps": (11344, "tcp"),
    }
    more = {it["name"]: it["port"] for it in of_ci("tls").one("Service", "md-icapsrv")["spec"]["ports"]}
    assert (more["nginx"], more["nginxs"]) == (8043, 8443)
    secure = {it["name"]: it["appProtocol"] for it in of_ci("tls").one("Service", "md-icapsrv")["spec"]["ports"]}
    assert secure["rest"] == "https"


def test_every_single_sidecar_is_found() -> None:
    """Metrics, status and the test of Helm ask each pod by its own address, and those that are not ready above all."""
    spec = good("replicas: 2").one("Service", "rel-license-sidecar")["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert [(it["name"], it["port"]) for it in spec["ports"]] == [("license", 9480)]


def test_a_load_balancer_gets_what_is_its_own() -> None:
    """Fields of load balancers and node ports are there for such Services; others refuse them and do not get them."""
    spec = of_ci("ways-in").one("Service", "md-icapsrv")["spec"]
    assert spec["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
    assert {it["name"]: it.get("nodePort") for it in spec["ports"]}["icap"] == 31344
    plain = good("service: {loadBalancerSourceRanges: [192.0.2.0/24], externalTrafficPolicy: Local}")
    assert {"loadBalancerSourceRanges", "externalTrafficPolicy"} & set(
        plain.one("Service", "md-icapsrv")["spec"]
    ) == set()


def test_the_ways_in_for_http_carry_the_rest_api_alone() -> None:
    """ICAP is no HTTP: Ingress and route lead to the REST port."""
    manifest = of_ci("ways-in")
    assert manifest.one("Ingress")["metadata"]["name"] == "icap-ingress"
    backends = [it["http"]["paths"][0]["backend"]["service"] for it in manifest.one("Ingress")["spec"]["rules"]]
    assert backends == [{"name": "md-icapsrv", "port": {"name": "rest"}}] * 2
    assert manifest.one("HTTPRoute")["spec"]["rules"][0]["backendRefs"] == [{"name": "md-icapsrv", "port": 8048}]


def egress(policy: dict[str, Any]) -> set[tuple[str, int]]:
    """Return addresses and ports that a policy lets out to."""
    found = set()
    for rule in policy["spec"]["egress"]:
        peers = rule.get("to") or [{"any": True}]
        for peer in peers:
            where = peer.get("ipBlock", {}).get("cidr") or json.dumps(peer)
            found |= {(where, port["port"]) for port in rule.get("ports", [{"port": 0}])}
    return found


def test_a_policy_lets_out_to_what_is_needed() -> None:
    """DNS, API server, activation server, database, Core; Jobs reach no database."""
    manifest = of_ci("network-policy")
    app = egress(manifest.one("NetworkPolicy", "md-icapsrv"))
    jobs = egress(manifest.one("NetworkPolicy", "rel-license-jobs"))
    common = {("192.0.2.1/32", 443), ("192.0.2.1/32", 6443), ("198.51.100.0/24", 443), ("192.0.2.10/32", 0)}
    common |= {('{"any": true}', 53), ('{"any": true}', 5353)}
    assert jobs == common
    assert app == common | {("192.0.2.8/32", 5433), ("192.0.2.9/32", 8008)}


def test_names_are_asked_for_where_the_servers_of_names_listen() -> None:
    """OpenShift's listen on 5353 behind the port 53 of their Service; both over UDP and TCP."""
    asked = of_ci("network-policy").one("NetworkPolicy", "rel-license-jobs")["spec"]["egress"][0]["ports"]
    assert [(it["port"], it["protocol"]) for it in asked] == [
        (port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")
    ]
    (dns,) = [it for it in of_ci("cilium").one("CiliumNetworkPolicy")["spec"]["egress"] if "toEndpoints" in it]
    assert [it["port"] for it in dns["toPorts"][0]["ports"]] == ["53", "5353"]


def test_a_policy_lets_in_by_port() -> None:
    """Each port has its own list of who may come; the test of Helm may come too."""
    rules = {
        str(it["ports"][0]["port"]): it.get("from")
        for it in of_ci("network-policy").one("NetworkPolicy", "md-icapsrv")["spec"]["ingress"]
    }
    test = {
        "podSelector": {"matchLabels": {"app.kubernetes.io/instance": "rel", "app.kubernetes.io/component": "test"}}
    }
    assert set(rules) == {"icap", "rest", "9480"}
    assert test in rules["icap"]
    assert test in rules["9480"]
    assert rules["rest"] == [{"podSelector": {"matchLabels": {"role": "admin"}}}]


CLOSED: Final = """
networkPolicy:
  enabled: true
  egress:
    apiServer: {cidrs: [192.0.2.1/32]}
    database: {cidrs: [192.0.2.8/32]}
"""
"""A policy whose only way to everywhere is that to the activation server."""


def test_with_a_proxy_only_the_proxy_is_reached() -> None:
    """The way around it is closed."""
    everywhere = ("0.0.0.0/0", 443)
    assert everywhere in egress(good(CLOSED).one("NetworkPolicy", "md-icapsrv"))
    values = CLOSED + "    proxy: {cidrs: [192.0.2.3/32]}\nproxy: {https: 'http://proxy:3128'}"
    out = egress(good(values).one("NetworkPolicy", "md-icapsrv"))
    assert ("192.0.2.3/32", 3128) in out
    assert everywhere not in out


@pytest.mark.parametrize(
    ("values", "policy", "expected"),
    [
        ("activation: {url: 'https://x.example.com:8443/api'}", "", {("0.0.0.0/0", 8443)}),
        ("activation: {url: 'http://x.example.com'}", "", {("0.0.0.0/0", 80)}),
        (
            "activation: {url: 'https://x.example.com:8443'}",
            "activation: {ports: [9443]}",
            {("0.0.0.0/0", 8443), ("0.0.0.0/0", 9443)},
        ),
        ("proxy: {https: 'http://proxy:8080'}", "proxy: {cidrs: [192.0.2.3/32]}", {("192.0.2.3/32", 8080)}),
        ("proxy: {https: 'proxy:8080'}", "proxy: {cidrs: [192.0.2.3/32]}", {("192.0.2.3/32", 8080)}),
        (
            "proxy: {https: 'http://[2001:db8::1]:81/'}",
            "proxy: {cidrs: ['2001:db8::1/128']}",
            {("2001:db8::1/128", 81)},
        ),
        (
            "proxy: {http: 'http://proxy', https: 'https://proxy'}",
            "proxy: {cidrs: [192.0.2.3/32]}",
            {("192.0.2.3/32", 80), ("192.0.2.3/32", 443)},
        ),
        ("proxy: {existingSecret: mine}", "proxy: {cidrs: [192.0.2.3/32]}", {("192.0.2.3/32", 3128)}),
        ("proxy: {existingSecret: mine}", "proxy: {cidrs: [192.0.2.3/32], ports: [81]}", {("192.0.2.3/32", 81)}),
    ],
)
def test_a_policy_opens_the_port_of_the_address(values: str, policy: str, expected: set[tuple[str, int]]) -> None:
    """Whoever names another port in an address has not to say it twice, for the app's pods and for the Jobs."""
    manifest = good(f"{CLOSED}    {policy}\n{values}")
    needed = {("192.0.2.1/32", 443), ("192.0.2.1/32", 6443)}
    jobs = egress(manifest.one("NetworkPolicy", "rel-license-jobs"))
    found = {it for it in jobs if "any" not in it[0] and it[0] != "::/0"}
    assert found == expected | needed
    assert jobs <= egress(manifest.one("NetworkPolicy", "md-icapsrv"))


@pytest.mark.parametrize(
    ("olms", "ports"), [("url: 'https://o:3316'", {3316}), ("url: 'o:3316'", {3316}), ("existingSecret: o", {443})]
)
def test_a_policy_opens_the_port_of_the_licence_server(olms: str, ports: set[int]) -> None:
    """The same for the on-premises one, which the app alone asks."""
    manifest = good(f"{CLOSED}    olms: {{cidrs: [192.0.2.4/32]}}\nmode: observe\nolms: {{{olms}}}")
    assert {port for where, port in egress(manifest.one("NetworkPolicy", "md-icapsrv")) if "2.4" in where} == ports


def cilium(manifest: Manifest) -> dict[str, set[str]]:
    """Return what Cilium's own policy lets out to, by name or entity, with the ports."""
    found = {}
    for rule in manifest.one("CiliumNetworkPolicy")["spec"]["egress"]:
        ports = {it["port"] for it in rule["toPorts"][0]["ports"]}
        found |= {it["matchName"]: ports for it in rule.get("toFQDNs", [])}
        found |= dict.fromkeys(rule.get("toEntities", []), ports)
    return found


API_SERVER: Final = {"kube-apiserver": {"443", "6443"}}


def test_cilium_takes_names_and_no_address() -> None:
    """The API server is an entity and the activation server a name: by address neither is let out to any more."""
    server, further = {"activation.dl.opswat.com": {"443"}}, {"updates.example.com": {"443"}}
    assert cilium(of_ci("cilium")) == API_SERVER | server | further
    for policy in of_ci("cilium").of("NetworkPolicy"):
        assert "ipBlock" not in json.dumps(policy)
    moved = "networkPolicy: {enabled: true, egress: {database: {cidrs: [192.0.2.8/32]}}, cilium: {enabled: true}}"
    url = "activation: {url: 'https://x.example.com:8443'}"
    assert cilium(good(f"{moved}\n{url}")) == API_SERVER | {"x.example.com": {"8443"}}


def test_cilium_leaves_no_way_around_a_proxy_or_the_mock() -> None:
    """The activation server's name is let out to only where it is asked directly; the API server always is."""
    proxy = "    proxy: {cidrs: [192.0.2.3/32]}\n  cilium: {enabled: true}\nproxy: {https: 'http://proxy:3128'}"
    assert cilium(good(CLOSED + proxy)) == API_SERVER
    mock = "mockActivation: {enabled: true, standInApp: false}\nlicense: {existingSecret: '', key: FAKE-KEY0}"
    manifest = good(f"{CLOSED}  cilium: {{enabled: true}}\n{mock}")
    assert cilium(manifest) == API_SERVER
    assert any(port == 8480 for _, port in egress(manifest.one("NetworkPolicy", "rel-license-jobs")))


@pytest.mark.parametrize(
    ("values", "apis", "kinds", "annotated"),
    [
        ("replicas: 1", (), [], False),
        ("replicas: 1", MONITORS, ["PodMonitor"], False),
        ("monitoring: {type: service}", MONITORS, ["ServiceMonitor"], False),
        ("monitoring: {enabled: true}", (), ["PodMonitor"], False),
        ("monitoring: {enabled: false}", MONITORS, [], False),
        ("monitoring: {type: annotations}", MONITORS, [], True),
        ("monitoring: {enabled: false, type: annotations}", (), [], False),
    ],
)
def test_metrics_are_collected_in_one_way(
    values: str, apis: tuple[str, ...], kinds: list[str], annotated: bool
) -> None:
    """Where the operator's CRDs are, a monitor; never two ways at once, or every pod counts twice."""
    manifest = Manifest(obtain(4).template(values=merge(values), apis=apis))
    assert [it["kind"] for it in manifest.of("PodMonitor", "ServiceMonitor")] == kinds
    assert ("prometheus.io/scrape" in manifest.app.metadata["annotations"]) is annotated


def merge(values: str) -> str:
    """Return the good values with others over them."""
    return yaml.safe_dump(yaml.safe_load(GOOD) | yaml.safe_load(values))


def test_database_and_mock_are_reached_by_those_who_need_them() -> None:
    """The database by the app alone, the mock by sidecars and Jobs, its control port by nobody over the network."""
    for file, which, port in (
        ("cilium", "rel-postgres", "postgres"),
        ("stand-in", "rel-mock-activation", "activation"),
    ):
        (rule,) = of_ci(file).one("NetworkPolicy", which)["spec"]["ingress"]
        assert [it["port"] for it in rule["ports"]] == [port]
    (rule,) = of_ci("cilium").one("NetworkPolicy", "rel-postgres")["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app": "md-icapsrv"}}}]
    mock = of_ci("stand-in").one("NetworkPolicy", "rel-mock-activation")["spec"]["ingress"][0]["from"][0]
    reaching = [it for it in of_ci("stand-in").pods() if selects(mock["podSelector"], it.labels)]
    assert {it.name for it in reaching} >= {"Deployment/md-icapsrv", "Job/rel-drain"}
