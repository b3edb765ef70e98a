"""An OpenAPI file of the mocks as a judge: is this answer, this request, what it says? Schemas are JSON Schema 2020-12.

It reads the file as it is served. It must not know what any route does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from mock_activation.openapi import document

_HERE = "urn:file"
_METHODS = ("get", "put", "post", "patch", "delete")


class Mismatch(AssertionError):  # noqa: N818 - what was found
    """An answer or a route that the file does not know."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``pointer`` is its place in the file."""

    method: str
    path: str
    pointer: tuple[str, ...]
    content: Mapping[str, Any]

    def fits(self, method: str, path: str) -> bool:
        """Tell whether a request is about this operation."""
        pattern = re.sub(r"\\\{[^/]*\\\}", "[^/]+", re.escape(self.path))
        return self.method == method and re.fullmatch(pattern, path) is not None


class OpenApiFile:
    """One file."""

    def __init__(self, name: str) -> None:
        """Read it; ``name`` without ``.yaml``."""
        self.content = document(name)
        self._registry = Registry().with_resource(_HERE, Resource(self.content, DRAFT202012))
        self._validators: dict[str, Draft202012Validator] = {}
        self.operations = [
            Operation(method.upper(), path, ("paths", path, method), operation)
            for path, item in self.content["paths"].items()
            for method, operation in item.items()
            if method in _METHODS
        ]

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation that a request is about; one without a placeholder first."""
        fitting = [operation for operation in self.operations if operation.fits(method, path)]
        return min(fitting, key=lambda operation: operation.path.count("{"), default=None)

    def knows_path(self, path: str) -> bool:
        """Tell whether any method is known there."""
        return any(operation.fits(operation.method, path) for operation in self.operations)

    def check_answer(self, method: str, path: str, status: int, content_type: str, body: bytes) -> None:
        """Raise ``Mismatch`` unless the file says that this may be answered."""
        operation = self.find(method, path)
        if operation is None:
            raise Mismatch(f"{method} {path} is not in the file, and was answered with {status}")
        pointer = (*operation.pointer, "responses", str(status))
        if str(status) not in operation.content["responses"]:
            raise Mismatch(f"{method} {path} answers {status}, which is not in the file")
        pointer, response = self._resolved(pointer)
        media = response.get("content", {})
        if not body:
            return
        if content_type not in media:
            raise Mismatch(f"{method} {path} {status}: the file knows {', '.join(media)}, but it is {content_type}")
        if content_type == "application/json":
            faults = self.faults((*pointer, "content", content_type, "schema"), json.loads(body))
            if faults:
                raise Mismatch(f"{method} {path} {status}: {'; '.join(faults)}")

    def accepts(self, operation: Operation, body: Any) -> bool:
        """Tell whether the file allows this JSON body for a request."""
        pointer, _ = self._resolved((*operation.pointer, "requestBody"))
        return not self.faults((*pointer, "content", "application/json", "schema"), body)

    def properties(self, operation: Operation) -> list[str]:
        """Return the fields of the JSON body of a request; none if it has none."""
        if "requestBody" not in operation.content:
            return []
        pointer, body = self._resolved((*operation.pointer, "requestBody"))
        if "application/json" not in body["content"]:
            return []
        _, schema = self._resolved((*pointer, "content", "application/json", "schema"))
        return list(schema.get("properties", {}))

    def faults(self, pointer: tuple[str, ...], value: Any) -> list[str]:
        """Return what is wrong with a value by the schema at this place: where, and which rule, never the value."""
        escaped = "/".join(part.replace("~", "~0").replace("/", "~1") for part in pointer)
        validator = self._validators.setdefault(
            escaped, Draft202012Validator({"$ref": f"{_HERE}#/{escaped}"}, registry=self._registry)
        )
        return [f"{error.json_path} breaks {error.validator}" for error in validator.iter_errors(value)]

    def responses(self, operation: Operation) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the statuses of an operation and what the file says of them."""
        for status in operation.content["responses"]:
            yield status, self._resolved((*operation.pointer, "responses", status))[1]

    def schema(self, name: str) -> Mapping[str, Any]:
        """Return a named schema."""
        found: Mapping[str, Any] = self.content["components"]["schemas"][name]
        return found

    def _resolved(self, pointer: tuple[str, ...]) -> tuple[tuple[str, ...], Mapping[str, Any]]:
        value: Any = self.content
        for part in pointer:
            value = value[part]
        if "$ref" in value:
            return self._resolved(tuple(value["$ref"].removeprefix("#/").split("/")))
        return pointer, value
