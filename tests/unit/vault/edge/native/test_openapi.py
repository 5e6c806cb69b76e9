"""The OpenAPI document: valid, complete, and true to the routes it is made from."""

import json
from typing import Any

from openapi_spec_validator import validate

from vault.edge.native.dialect import RESOURCES, NativeDialect


async def document(wire: Any) -> dict[str, Any]:
    """As it is served, to anybody."""
    wire.token = ""
    reply = await wire.ask("GET", "openapi.json")
    assert reply.status == 200
    found: dict[str, Any] = json.loads(reply.body)
    return found


async def test_it_is_valid_openapi(wire: Any) -> None:
    """A 3.1 document by the standard's own schema."""
    found = await document(wire)
    assert found["openapi"].startswith("3.1")
    validate(found)


async def test_it_has_every_route_and_no_other(wire: Any) -> None:
    """Each method of each path is described once, under an id of its own."""
    found = await document(wire)
    described = {
        (method.upper(), path.split("/api/v1/")[-1].lstrip("/"))
        for path, methods in found["paths"].items()
        for method in methods
        if method != "parameters"
    }
    routes = {(route.method, route.template) for route in NativeDialect.router.routes()}
    assert described == routes
    ids = [op["operationId"] for methods in found["paths"].values() for op in methods.values()]
    assert len(ids) == len(set(ids)) == sum(len(resource.all) for resource in RESOURCES)


async def test_every_guarded_operation_says_how_it_fails(wire: Any) -> None:
    """401 and 503 can come from anything behind the gate, and have the design's error as a body."""
    found = await document(wire)
    public = {r.template for r in NativeDialect.router.routes() if r.public}
    for path, methods in found["paths"].items():
        if path.split("/api/v1/")[-1].lstrip("/") in public:
            continue
        for operation in methods.values():
            assert {"401", "503"} <= set(operation["responses"]), path
