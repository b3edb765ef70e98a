"""What makes a control plane trust and be trusted: its authority, its certificate, its tokens, its signing key.

Everything is made at run time and thrown away with the folder. Nothing here starts or asks anything.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ADMIN: Final = "admin"
MANAGER: Final = "system:kube-controller-manager"
SCHEDULER: Final = "system:kube-scheduler"
_GROUPS: Final = {ADMIN: "system:masters", MANAGER: "", SCHEDULER: ""}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files that the API server reads, the token of each user in them, and who signs certificates."""

    authority: trustme.CA
    ca_file: Path
    certificate_file: Path
    key_file: Path
    signing_key_file: Path
    token_file: Path
    tokens: dict[str, str]


def issue(folder: Path) -> Credentials:
    """Make everything anew, readable for the owner only."""
    folder.mkdir(mode=0o700)
    authority = trustme.CA()
    # The last one is the Service "kubernetes", which pods ask.
    certificate = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1")
    made = Credentials(
        authority=authority,
        ca_file=folder / "ca.crt",
        certificate_file=folder / "server.crt",
        key_file=folder / "server.key",
        signing_key_file=folder / "service-accounts.key",
        token_file=folder / "tokens.csv",
        tokens={user: secrets.token_urlsafe(24) for user in _GROUPS},
    )
    authority.cert_pem.write_to_path(str(made.ca_file))
    made.certificate_file.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(made.key_file))
    made.signing_key_file.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,  # the form that Kubernetes reads everywhere
            serialization.NoEncryption(),
        )
    )
    made.token_file.write_text(
        "".join(f'{token},{user},{user},"{_GROUPS[user]}"\n' for user, token in made.tokens.items())
    )
    return made


def identity(authority: trustme.CA, user: str, group: str) -> tuple[bytes, bytes]:
    """Return a client certificate that says who somebody is, and its key, both PEM."""
    # The name is for nobody: without one trustme writes an empty critical extension, which Go refuses.
    made = authority.issue_cert("client.invalid", common_name=user, organization_name=group)
    return b"".join(blob.bytes() for blob in made.cert_chain_pems), made.private_key_pem.bytes()


def kubeconfig(url: str, ca_file: Path, token: str, namespace: str = "default") -> dict[str, Any]:
    """Return a kubeconfig for one user of one cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        "current-context": "test",
    }


def write_private(path: Path, content: dict[str, Any]) -> Path:
    """Write JSON, which is YAML too, for the owner only."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))
    return path
