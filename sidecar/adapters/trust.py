"""Whose certificates are believed: one decision for the activation server, another for the app.

A context with the system's authorities costs about 20 ms and 1 MiB, so it is made only when TLS is really spoken, once.
Must not weaken anything but what design.md section 7 names: an unverified app on a loopback address.
"""

from __future__ import annotations

import os
import ssl
from ipaddress import ip_address
from pathlib import Path

import certifi


def is_loopback(host: str) -> bool:
    """Tell whether the host is this machine by its very spelling: no name but ``localhost`` is trusted to be."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def no_trust() -> ssl.SSLContext:
    """Return a context that trusts nobody, for connections that speak no TLS: it costs next to nothing."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def server_trust(ca_file: Path | None) -> ssl.SSLContext:
    """Trust the system's authorities and those of ``ca_file``. Raises ``OSError`` if that file is unusable."""
    context = ssl.create_default_context()
    if not _system_has_authorities():
        # An image without ca-certificates: the list that httpx depends on is better than no connection at all.
        context.load_verify_locations(certifi.where())
    if ca_file is not None:
        _add(context, ca_file)
    return context


def cluster_trust(ca_file: Path) -> ssl.SSLContext:
    """Trust the cluster's own authority alone, whatever the system trusts. Raises ``OSError`` if it is unusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _add(context, ca_file)
    return context


def app_trust(host: str, ca_file: Path | None) -> ssl.SSLContext:
    """Trust ``ca_file`` alone where it is given; else anybody on a loopback address; else the system's authorities.

    With a ``ca_file`` the name is not compared on a loopback address: the app's certificate carries the name of its
    Service, and whoever holds its private key on this very machine is the app. Raises ``OSError`` as above.
    """
    if ca_file is None and not is_loopback(host):
        return server_trust(None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = not is_loopback(host)
    if ca_file is None:
        context.verify_mode = ssl.CERT_NONE  # design.md section 7, app.ca_file: loopback may be unverified
    else:
        _add(context, ca_file)
    return context


def _add(context: ssl.SSLContext, ca_file: Path) -> None:
    """Add authorities of one's own.

    Python 3.13 began to refuse authorities without key identifiers, which home-made ones lack, and to accept a pinned
    certificate that is no authority: here every version accepts both.
    """
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_verify_locations(ca_file)


def _system_has_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return True
    return paths.capath is not None and any(os.scandir(paths.capath))
