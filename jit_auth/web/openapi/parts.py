"""How an operation is written down: what each builder gives is a part of an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

Json = dict[str, Any]
Refusals = Mapping[int, Sequence[str]]
"""Status to the codes that come with it."""

JSON, HTML, PROBLEM = "application/json", "text/html", "application/problem+json"
FORM = "application/x-www-form-urlencoded"

EVERYWHERE: Refusals = {421: ("wrong_host",), 503: ("storage_unavailable",)}
"""What any route but health may answer."""


def ref(name: str) -> Json:
    """A schema of `schemas.SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def operation(
    id: str,
    summary: str,
    *,
    tag: str,
    answers: Mapping[int, Json],
    refusals: Refusals = EVERYWHERE,
    html: bool = False,
    security: Sequence[str] = (),
    parameters: Sequence[Json] = (),
    body: Json | None = None,
    description: str = "",
) -> Json:
    """One operation. `refusals` are problems, `html`: pages where the client does not speak JSON. `security` names the
    schemes of which one is needed, or none."""
    made: Json = {
        "operationId": id,
        "summary": summary,
        "tags": [tag],
        "security": [{name: []} for name in security],
        "responses": {str(status): answer for status, answer in answers.items()},
    }
    for status, codes in sorted(refusals.items()):
        made["responses"][str(status)] = problem(status, codes, html=html, also=answers.get(status))
    if description:
        made["description"] = description
    if parameters:
        made["parameters"] = list(parameters)
    if body is not None:
        made["requestBody"] = body
    return made


def united(*several: Refusals) -> Refusals:
    """The codes of all of them, by status."""
    found: dict[int, tuple[str, ...]] = {}
    for refusals in several:
        for status, codes in refusals.items():
            found[status] = tuple(dict.fromkeys((*found.get(status, ()), *codes)))
    return found


def problem(status: int, codes: Sequence[str], *, html: bool = False, also: Json | None = None) -> Json:
    """A refusal. `also`: another answer of the same status."""
    narrow: Json = {"properties": {"status": {"const": status}, "code": {"enum": sorted(codes)}}}
    content: Json = {PROBLEM: {"schema": {"allOf": [ref("Problem"), narrow]}}}
    if html:
        content[HTML] = {"schema": {"type": "string"}}
    made: Json = {"description": HTTPStatus(status).phrase, "content": content}
    if status == 401:
        made["headers"] = {"WWW-Authenticate": header("what is asked for (RFC 9110)", needed=True)}
    if status in (429, 503):
        made["headers"] = {"Retry-After": header("seconds to wait", {"type": "string", "pattern": "^[0-9]+$"})}
    return made if also is None else {**made, **also, "content": {**content, **also["content"]}}


def answer(schema: Json, says: str, *, media: str = JSON, headers: Mapping[str, Json] | None = None) -> Json:
    """An answer with a body."""
    made: Json = {"description": says, "content": {media: {"schema": schema}}}
    return made if headers is None else {**made, "headers": dict(headers)}


def page(says: str, *, json: Json | None = None) -> Json:
    """A page for people; `json`: what a client that speaks JSON gets instead."""
    made = answer({"type": "string"}, says, media=HTML)
    if json is not None:
        made["content"][JSON] = {"schema": json}
    return made


def redirect(says: str) -> Json:
    """303."""
    return {"description": says, "headers": {"Location": header("where to go", needed=True)}}


def header(says: str, schema: Json | None = None, *, needed: bool = False) -> Json:
    """A header of an answer."""
    return {"description": says, "schema": schema or {"type": "string"}, "required": needed}


def body(schema: Json, *, form: Json | None = None, needed: bool = True) -> Json:
    """What is posted: JSON, and where pages post too, a form."""
    content = {JSON: {"schema": schema}}
    if form is not None:
        content[FORM] = {"schema": form}
    return {"required": needed, "content": content}


def form(schema: Json, *, needed: bool = True) -> Json:
    """What a page's own form posts."""
    return {"required": needed, "content": {FORM: {"schema": schema}}}


def closed(properties: Mapping[str, Json], required: Sequence[str] | None = None) -> Json:
    """An object of these members and no others; all are required unless told otherwise."""
    needed = list(properties if required is None else required)
    made: Json = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**made, "required": needed} if needed else made


def text(says: str = "", **limits: Any) -> Json:
    """A string."""
    return {"type": "string"} | ({"description": says} if says else {}) | limits


def maybe(schema: Json) -> Json:
    """That, or null."""
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def listed(of: str) -> Json:
    """A page of a list."""
    return closed({"items": {"type": "array", "items": ref(of)}, "next": maybe(text())})


def in_path(name: str, says: str, schema: Json | None = None) -> Json:
    return _parameter("path", name, says, schema, needed=True)


def in_query(name: str, says: str, schema: Json | None = None, *, needed: bool = False) -> Json:
    return _parameter("query", name, says, schema, needed=needed)


def in_header(name: str, says: str, schema: Json | None = None, *, needed: bool = False) -> Json:
    return _parameter("header", name, says, schema, needed=needed)


def _parameter(place: str, name: str, says: str, schema: Json | None, *, needed: bool = False) -> Json:
    return {"name": name, "in": place, "description": says, "required": needed, "schema": schema or {"type": "string"}}
