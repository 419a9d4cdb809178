"""The OpenAPI document: made from the routes and the types of their answers, so it says nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from . import answers
from .site import Parameter, Route

_TEMPLATE = "#/components/schemas/{name}"
_WHY = {
    202: "It is under way.",
    400: "A parameter cannot be read.",
    401: "The token is missing, or wrong.",
    403: "A foreign host or site, or a server that is read-only.",
    404: "There is nothing of that name.",
    409: "It cannot be done now.",
    503: "Not well, or too many streams.",
}


def openapi(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Return the document.

    Args:
        routes: What there is.
        version: The version of headrace.
    """
    routes = list(routes)
    types = [answers.Problem, *(kind for route in routes for kind in (route.answer, *route.events.values()))]
    kinds = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "headrace",
            "version": version,
            "description": "What a running system does, and what can be done to it.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    answers_by_code = {"200": _answer(route, schema_of, "Done." if route.method == "POST" else "As asked.")}
    always = (401, 403) if route.method == "POST" else (403,)
    for code in sorted({*route.errors, *always}):
        is_own = code == 202 or route.answer.__name__ == "Health"
        answers_by_code[str(code)] = (
            _answer(route, schema_of, _WHY[code])
            if is_own and code != 403
            else {"description": _WHY[code], "content": _json(schema_of[answers.Problem])}
        )
    made: dict[str, Any] = {
        "operationId": route.method.lower() + route.path.replace("{", "").replace("}", "").replace("/", "_"),
        "summary": route.about,
        "responses": answers_by_code,
    }
    if route.parameters:
        made["parameters"] = [_parameter(one) for one in route.parameters]
    if route.method == "POST":
        made["security"] = [{"token": []}]
    return made


def _answer(route: Route, schema_of: dict[Any, Any], about: str) -> dict[str, Any]:
    if not route.events and route.answer is not str:
        return {"description": about, "content": _json(schema_of[route.answer])}
    made: dict[str, Any] = {"schema": {"type": "string"}}
    if route.events:
        made["x-events"] = {name: schema_of[kind] for name, kind in route.events.items()}
    return {"description": about, "content": {route.media: made}}


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _parameter(one: Parameter) -> dict[str, Any]:
    made = {"name": one.name, "in": one.where, "schema": one.schema, "description": one.about}
    return made | {"required": True} if one.where == "path" else made


__all__ = ["openapi"]
