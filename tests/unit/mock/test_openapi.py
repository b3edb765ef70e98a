"""The mock against its own OpenAPI files, in both directions.

Code to file: every route, switch and word that the code knows stands in the files, and ``vendor_client`` holds every
answer of every test against them. File to code: schemathesis asks what the files allow, and what they do not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

import pytest
import schemathesis
import yaml
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from mock_activation.answers import Outcome
from mock_activation.backend import Backend
from mock_activation.control_api import ControlApi
from mock_activation.effects import REFUSALS, Distribution
from mock_activation.events import Kind
from mock_activation.faults import NAMES, CountBy, Operation
from mock_activation.in_thread import MockInThread
from mock_activation.journal import Fate
from mock_activation.openapi import as_yaml, document
from mock_activation.pool import KeyState
from mock_activation.profiles import PROFILES
from mock_activation.switches import POSITIONS, Switches
from tests.unit.mock.vendor_client import ACTIVATION, CONTROL, KEY, A, Vendor, expect_no_key

MARKS = {"documented", "observed", "assumed"}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]
ENDLESS = {"/events", "/journal/wait"}
"""Asked by tests of their own: they wait."""


def application() -> web.Application:
    """Return the control port's routes."""
    return ControlApi(Backend({})).application()


def routes() -> set[tuple[str, str]]:
    """Return method and path of each route of the control port, as the code knows them."""
    return {
        (route.method, route.resource.canonical)
        for route in application().router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


# -- code to file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["activation", "control"])
def test_the_files_are_openapi(name: str) -> None:
    """Version 3.1, and valid by the specification's own schema."""
    content = document(name)
    assert content["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(content).validate()


def test_every_route_of_the_control_port_is_in_its_file_and_the_other_way_round() -> None:
    """No route that nobody described, no description of nothing."""
    assert routes() == {(operation.method, operation.path) for operation in CONTROL.operations}


def test_the_activation_port_has_exactly_the_two_operations() -> None:
    """And both with GET only."""
    described = {(operation.method, operation.path) for operation in ACTIVATION.operations}
    assert described == {("GET", f"/{operation}") for operation in Operation}


def test_every_switch_is_marked_and_described() -> None:
    """Name, positions and default as in the code; each with its mark of evidence."""
    switches = ACTIVATION.content["x-switches"]
    assert {name: (set(told["positions"]), told["default"]) for name, told in switches.items()} == {
        name: (set(positions), getattr(Switches(), name)) for name, positions in POSITIONS.items()
    }
    assert {told["x-evidence"] for told in switches.values()} <= MARKS


def marked(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping that has a mark or names switches."""
    if isinstance(value, dict):
        if "x-evidence" in value or "x-switch" in value:
            yield value
        for inner in value.values():
            yield from marked(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from marked(inner)


def test_every_operation_parameter_answer_and_schema_has_its_mark() -> None:
    """Documented, observed or assumed; and every switch stands beside what it changes."""
    parts: list[dict[str, Any]] = [dict(operation.content) for operation in ACTIVATION.operations]
    parts += [dict(response) for operation in ACTIVATION.operations for _, response in ACTIVATION.responses(operation)]
    for kind in ("parameters", "schemas", "responses"):
        parts += ACTIVATION.content["components"][kind].values()
    assert [part for part in parts if part.get("x-evidence") not in MARKS] == []
    named = {name for part in marked(ACTIVATION.content["paths"]) for name in part.get("x-switch", ())}
    named |= {name for part in marked(ACTIVATION.content["components"]) for name in part.get("x-switch", ())}
    assert named == set(POSITIONS)


def words(*pointer: str) -> set[str]:
    """Return the words of an ``enum`` of the control file, null left out."""
    value: Any = CONTROL.content["components"]
    for part in pointer:
        value = value[part]
    return {word for word in value["enum"] if word is not None}


@pytest.mark.parametrize(
    ("pointer", "known"),
    [
        (("schemas", "Operation"), Operation),
        (("schemas", "Outcome"), Outcome),
        (("schemas", "Fate"), Fate),
        (("schemas", "FaultName"), NAMES),
        (("schemas", "ProfileName"), PROFILES),
        (("schemas", "FaultRefuse", "properties", "reason"), REFUSALS),
        (("schemas", "FaultDelay", "properties", "distribution"), Distribution),
        (("schemas", "FaultDelay", "properties", "count_by"), CountBy),
        (("schemas", "NewKey", "properties", "state"), KeyState),
    ],
    ids=str,
)
def test_the_words_of_the_file_are_those_of_the_code(pointer: tuple[str, ...], known: Iterable[str]) -> None:
    """Every closed set of words is the same in both."""
    assert words(*pointer) == set(known)


@pytest.mark.parametrize("name", POSITIONS)
def test_the_switches_of_the_control_file_are_those_of_the_code(name: str) -> None:
    """Position by position."""
    assert words("schemas", "SwitchChanges", "properties", name) == set(POSITIONS[name])


def test_every_kind_of_event_is_described() -> None:
    """The description of the stream names all of them."""
    told = next(it for it in CONTROL.operations if it.path == "/events").content["description"]
    assert [kind for kind in Kind if f"{kind}:" not in told] == []


def test_every_fault_has_a_schema_of_its_own() -> None:
    """Each name in exactly one of the alternatives."""
    schemas = CONTROL.content["components"]["schemas"]
    found: list[str] = []
    for alternative in schemas["Fault"]["oneOf"]:
        fault = schemas[alternative["$ref"].rpartition("/")[2]]["properties"]["fault"]
        found += fault.get("enum", [fault.get("const")])
    assert sorted(found) == sorted(NAMES)


async def test_the_files_are_served(vendor: Vendor) -> None:
    """As they are, in YAML and in JSON, each with its type."""
    for path, name in (("/openapi", "control"), ("/openapi/control", "control"), ("/openapi/activation", "activation")):
        text, tree = await vendor.control("GET", f"{path}.yaml"), await vendor.control("GET", f"{path}.json")
        assert text.headers["content-type"] == "application/yaml; charset=utf-8"
        assert text.body == as_yaml(name)
        assert tree.json() == yaml.safe_load(text.body)


# -- file to code ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mock() -> Iterator[MockInThread]:
    """Run one mock for everything that is generated."""
    with MockInThread({KEY: 3}) as mock:
        yield mock


class Generation(StrEnum):
    """What is generated."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


def operations(name: str) -> list[Any]:
    """Return what can be asked."""
    schema = schemathesis.openapi.from_dict(document(name))
    return [found.ok() for found in schema.get_all_operations() if found.ok().path not in ENDLESS]


def put_to_the_test(operation: Any, url: str, generation: Generation, examples: int) -> int:
    """Ask what is generated for an operation; return how many requests there were."""
    mode = schemathesis.GenerationMode(generation)
    if generation is Generation.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return 0
    asked = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        nonlocal asked
        asked += 1
        response = case.call(base_url=url, timeout=10, allow_redirects=False)
        checks = [*CHECKS, negative_data_rejection] if generation is Generation.NEGATIVE else CHECKS
        case.validate_response(response, checks=checks)
        expect_no_key(response.text)

    run()
    return asked


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize("operation", operations("control"), ids=lambda operation: operation.label)
def test_the_control_port_answers_as_its_file_says(operation: Any, generation: Generation, mock: MockInThread) -> None:
    """Whatever the file allows, and whatever it does not: an answer that it knows, 4xx for what it does not allow."""
    asked = put_to_the_test(operation, mock.control_url, generation, 8)
    assert asked or generation is Generation.NEGATIVE


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize("operation", operations("activation"), ids=lambda operation: operation.label)
def test_the_activation_port_answers_as_its_file_says(
    operation: Any, generation: Generation, mock: MockInThread
) -> None:
    """Malformed parameters too are answered with 200, so nothing there is rejected: only the answers are judged."""
    mock.do(lambda inside: inside.backend.reset())
    mode = schemathesis.GenerationMode(generation)

    @settings(max_examples=20, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        response = case.call(base_url=mock.url, timeout=10)
        case.validate_response(response, checks=CHECKS)
        if response.status_code == 200 and response.content:
            assert yaml.safe_load(response.content).keys() & {"error", "success", "product_id"}

    run()


async def test_every_answer_of_the_activation_port_in_every_position_of_every_switch(vendor: Vendor) -> None:
    """``Vendor`` judges each of them by the file: taken, again, refused, malformed, released, again."""
    for name, positions in POSITIONS.items():
        for position in positions:
            vendor.mock.backend.reset()
            assert (await vendor.control("PATCH", "/switches", {name: position})).json()[name] == position
            for deployment, key, quantity in (
                (A, KEY, "1"),
                (A, KEY, "1"),
                (A, KEY.lower(), "1"),
                ("?", KEY, "1"),
                (A, "?", "1"),
                (A, KEY, "0"),
            ):
                await vendor.activate(deployment, key=key, quantity=quantity)
                await vendor.deactivate(deployment, key=key)
                await vendor.deactivate(deployment, key=key)


def test_the_file_of_the_control_port_names_no_key() -> None:
    """Examples are plainly none."""
    text = json.dumps(CONTROL.content) + json.dumps(ACTIVATION.content)
    assert re.findall(r"\b(?!X{4})[A-Z0-9]{4}(?:-[A-Z0-9]{4}){6}", text) == []
