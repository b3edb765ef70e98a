"""The API server as the tests' administrator calls it: one request, one answer, no retries, no cache.

It is not the sidecar's client and shares no code with it: a mistake in that one must not hide itself here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar

import httpx

T = TypeVar("T")
Object = dict[str, Any]

TIMEOUT: Final = 30.0
POLL: Final = 0.02
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
FIELD_MANAGER: Final = "license-sidecar-tests"
_GROUPS: Final = {
    "v1": (
        *("configmaps", "endpoints", "events", "namespaces", "nodes", "persistentvolumeclaims", "pods", "secrets"),
        *("serviceaccounts", "services"),
    ),
    "apps/v1": ("daemonsets", "deployments", "replicasets", "statefulsets"),
    "autoscaling/v2": ("horizontalpodautoscalers",),
    "batch/v1": ("cronjobs", "jobs"),
    "coordination.k8s.io/v1": ("leases",),
    "discovery.k8s.io/v1": ("endpointslices",),
    "networking.k8s.io/v1": ("ingresses", "networkpolicies"),
    "policy/v1": ("poddisruptionbudgets",),
    "rbac.authorization.k8s.io/v1": ("clusterrolebindings", "clusterroles", "rolebindings", "roles"),
    "apiextensions.k8s.io/v1": ("customresourcedefinitions",),
}
_GROUP_OF: Final = {plural: group for group, plurals in _GROUPS.items() for plural in plurals}


class ApiError(Exception):
    """The API server said no; ``code`` is its HTTP status, ``reason`` its word for it, such as ``NotFound``."""

    def __init__(self, what: str, code: int, reason: str, message: str) -> None:
        """Keep the server's words."""
        super().__init__(f"{what}: {code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


def wait_for(what: str, look: Callable[[], T | None], *, limit: float = TIMEOUT) -> T:
    """Look until something true comes back and return that; raise TimeoutError with what was waited for."""
    end = time.monotonic() + limit
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit:g} s in vain for: {what}")
        time.sleep(POLL)


def path(resource: str, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
    """Return the path of a resource: a plural such as ``pods``, or ``group/version/plural`` for any other."""
    group, _, plural = resource.rpartition("/")
    group = group or _GROUP_OF[plural]
    words = ["apis" if "/" in group else "api", group]
    words += ["namespaces", namespace] if namespace else []
    words += [word for word in (plural, name, subresource) if word]
    return "/" + "/".join(words)


class Api:
    """Verbs on objects as plain dictionaries. An object's own ``metadata.namespace`` wins over nothing."""

    def __init__(self, client: httpx.Client) -> None:
        """Take a client that knows the address and who it is."""
        self.client = client
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """Make one request and return the object of the answer.

        Raises:
            ApiError: the server refused it.

        """
        answer = self.client.request(
            method, target, json=body, params=params, headers={"Content-Type": content_type} if body else None
        )
        if answer.is_success:
            return _json(answer)
        told = _json(answer)
        raise ApiError(
            f"{method} {target}", answer.status_code, told.get("reason", ""), told.get("message", answer.text[:300])
        )

    def get(self, resource: str, name: str, namespace: str | None = None) -> Object:
        """Return one object."""
        return self.request("GET", path(resource, namespace, name))

    def find(self, resource: str, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, or None where there is none."""
        try:
            return self.get(resource, name, namespace)
        except ApiError as error:
            if error.code == httpx.codes.NOT_FOUND:
                return None
            raise

    def list(self, resource: str, namespace: str | None = None, **params: str) -> list[Object]:
        """Return the objects of a kind, in one namespace or in all; ``labelSelector`` and the like narrow it."""
        items: list[Object] = self.request("GET", path(resource, namespace), params=params)["items"]
        return items

    def create(self, resource: str, body: Object, namespace: str | None = None) -> Object:
        """Create an object; apiVersion and kind may be left out."""
        return self.request(
            "POST", path(resource, namespace or body["metadata"].get("namespace")), body, params=_managed()
        )

    def replace(self, resource: str, body: Object) -> Object:
        """Write an object as it is, with its resourceVersion as the condition."""
        metadata = body["metadata"]
        return self.request("PUT", path(resource, metadata.get("namespace"), metadata["name"]), body, params=_managed())

    def patch(self, resource: str, name: str, body: Object, namespace: str | None = None) -> Object:
        """Merge into an object (lists are replaced as a whole)."""
        return self._merge(path(resource, namespace, name), body)

    def patch_status(self, resource: str, name: str, status: Object, namespace: str | None = None) -> Object:
        """Merge into an object's status."""
        return self._merge(path(resource, namespace, name, "status"), {"status": status})

    def delete(
        self, resource: str, name: str, namespace: str | None = None, *, grace: int | None = None, **options: Any
    ) -> Object:
        """Delete an object; ``options`` are DeleteOptions such as ``propagationPolicy`` or ``preconditions``."""
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        return self.request("DELETE", path(resource, namespace, name), options or None)

    def delete_all(self, resource: str, namespace: str, *, grace: int | None = None) -> None:
        """Delete all objects of a kind in a namespace, in one request."""
        body = None if grace is None else {"gracePeriodSeconds": grace}
        self.request("DELETE", path(resource, namespace), body)

    def apply(self, manifest: Object, namespace: str | None = None) -> Object:
        """Apply a manifest on the server's side, taking over fields that others own."""
        plural, namespaced = self._plural(manifest["apiVersion"], manifest["kind"])
        metadata = manifest["metadata"]
        place = (metadata.get("namespace") or namespace or "default") if namespaced else None
        return self.request(
            "PATCH",
            path(f"{manifest['apiVersion']}/{plural}", place, metadata["name"]),
            manifest,
            params={**_managed(), "force": "true"},
            content_type=APPLY,
        )

    @contextmanager
    def watch(self, resource: str, namespace: str | None = None, **params: str) -> Iterator[Iterator[Object]]:
        """Open a watch and give its events as they come; the server's refusal, also a 410, is raised."""
        wanted = {"watch": "true", **params}
        with self.client.stream("GET", path(resource, namespace), params=wanted) as answer:
            if not answer.is_success:
                answer.read()
                raise ApiError("watch", answer.status_code, _json(answer).get("reason", ""), answer.text[:300])
            yield (httpx.Response(200, content=line).json() for line in answer.iter_lines() if line)

    def _merge(self, target: str, body: Object) -> Object:
        return self.request("PATCH", target, body, params=_managed(), content_type=MERGE)

    def _plural(self, api_version: str, kind: str) -> tuple[str, bool]:
        if (api_version, kind) not in self._plurals:
            found = self.request("GET", f"/{'apis' if '/' in api_version else 'api'}/{api_version}")["resources"]
            self._plurals |= {
                (api_version, one["kind"]): (one["name"], one["namespaced"]) for one in found if "/" not in one["name"]
            }
        return self._plurals[api_version, kind]


def _managed() -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER}


def _json(answer: httpx.Response) -> Object:
    if not answer.headers.get("Content-Type", "").startswith("application/json"):
        return {}
    told = answer.json()
    return told if isinstance(told, dict) else {}
