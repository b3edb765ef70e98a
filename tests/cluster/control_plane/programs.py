"""How each program of the control plane is called: the decisions that flags are. It starts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.cluster.control_plane.credentials import Credentials

ISSUER: Final = "https://kubernetes.default.svc"

# Without a node most controllers have nothing to do. Left out on purpose: pod garbage collection, which would delete
# the pods of nodes that nobody made, and the node life cycle, which would evict them.
_CONTROLLERS: Final = (
    *("namespace-controller", "serviceaccount-controller", "serviceaccount-token-controller"),
    *("root-ca-certificate-publisher-controller", "garbage-collector-controller", "resourcequota-controller"),
    *("deployment-controller", "replicaset-controller", "statefulset-controller", "job-controller"),
    *("cronjob-controller", "ttl-after-finished-controller", "disruption-controller", "endpointslice-controller"),
)

# Only what a token of a service account did: a test derives a Role from it. The controllers of the cluster itself
# would fill the log.
AUDIT_POLICY: Final[dict[str, Any]] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}


def etcd(program: Path, data: Path, port: int, peer_port: int) -> list[str]:
    """One member that believes every write is on the disk: this cluster need not survive a power cut."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(program),
        *(f"--data-dir={data}", "--unsafe-no-fsync", "--logger=zap", "--log-level=warn"),
        *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
        f"--initial-cluster=default={peer}",
    ]


def api_server(
    program: Path, port: int, etcd_port: int, secrets: Credentials, *, audit_policy: Path, audit_log: Path
) -> list[str]:
    """RBAC, the usual admission and service accounts as in any cluster; admission of privileged pods is left to it."""
    return [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        *("--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={secrets.ca_file.parent}"),
        # The Service "kubernetes" gets no endpoint: validation refuses loopback addresses there.
        *("--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"),
        *(f"--tls-cert-file={secrets.certificate_file}", f"--tls-private-key-file={secrets.key_file}"),
        *(f"--client-ca-file={secrets.ca_file}", f"--token-auth-file={secrets.token_file}"),
        *("--authorization-mode=Node,RBAC", "--allow-privileged", "--service-cluster-ip-range=10.96.0.0/16"),
        *(f"--service-account-issuer={ISSUER}", f"--service-account-key-file={secrets.signing_key_file}"),
        f"--service-account-signing-key-file={secrets.signing_key_file}",
        *(f"--audit-policy-file={audit_policy}", f"--audit-log-path={audit_log}"),
        "--audit-log-maxsize=10000",  # MB; by default it is rotated away under the reader after 100
    ]


def controller_manager(
    program: Path, config: Path, secrets: Credentials, controllers: tuple[str, ...] = ()
) -> list[str]:
    """Each controller with an account of its own, as kubeadm has it; ``controllers`` are those besides the usual."""
    return [
        *_client(program, config),
        f"--controllers={','.join((*_CONTROLLERS, *controllers))}",
        *("--use-service-account-credentials", f"--root-ca-file={secrets.ca_file}"),
        f"--service-account-private-key-file={secrets.signing_key_file}",
    ]


def scheduler(program: Path, config: Path) -> list[str]:
    """Binds pods to nodes that a test made."""
    return _client(program, config)


def _client(program: Path, config: Path) -> list[str]:
    # Port 0: nobody asks it for its metrics, and a port is one more thing that somebody may have taken.
    return [str(program), f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0"]
