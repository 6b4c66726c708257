"""What a person posted about one round, as a `Choice`; and the form in which the parameters that may be changed stand.

Attacks: a stale page decides something else (the digest that it showed comes with every form and every item of a
batch); an edit is smuggled into an approval (changed parameters never come with a vote); a form that was not touched
changes line ends, numbers or hidden characters (what reads as the same value is not sent).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from jit_auth.core.digest import parse_json
from jit_auth.core.text import visible
from jit_auth.engine.pages import ApprovalPage, Choice
from jit_auth.errors import BadRequest, Conflict, Unprocessable
from jit_auth.model import Millis, Verdict
from jit_auth.policy.strings import milliseconds
from jit_auth.web.forms import Posted, no_unknown

LONGEST_FEEDBACK = 2000
"""Characters of a message to the agent."""

EDIT = "edit."
"""Prefix of a form's fields that hold parameters."""

_FIELDS = ("decision", "feedback", "digest", "for", "params")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ONE_LINE = 80

Kind = Literal["text", "lines", "number", "choice", "json"]


class Editor(Struct, frozen=True):
    """One parameter in the form that changes it. `text` is the value itself, not made visible: it is typed over."""

    name: str
    kind: Kind
    text: str
    options: tuple[str, ...] = ()
    hides: bool = False
    """The value holds characters that a form does not show."""

    @property
    def tall(self) -> bool:
        """Whether it needs more than one line."""
        return self.kind in ("lines", "json") or "\n" in self.text or len(self.text) > _ONE_LINE


def choice(posted: Posted, page: ApprovalPage | None, seen: str) -> Choice:
    """One decision about one round. `page` is what the round shows now; None: nothing can be changed here.

    Raises BadRequest, Unprocessable, Conflict (`digest_mismatch`: a form that does not say what it showed).
    """
    values = posted.values
    editing = posted.form and values.get("decision") == "edit"
    editors = editable(page) if page is not None and editing else ()
    own = [EDIT + each.name for each in editors]
    names = _FIELDS if not posted.form else tuple(name for name in _FIELDS if name != "params")
    no_unknown(values, (*names, *own))
    decision = values.get("decision")
    if editors:
        params: Mapping[str, Any] | None = _edited(values, editors, page)
        verdict: Verdict = "approve"
    else:
        params = _params(values.get("params"), page is not None)
        verdict = verdict_of(decision)
    if params is not None and (verdict != "approve" or values.get("for")):
        raise BadRequest(
            "Changed parameters are asked anew: they come without `for`, and not with a denial.",
            code="bad_decision",
            hint="Nothing was decided.",
        )
    return Choice(
        verdict=verdict,
        digest=digest_of(values.get("digest"), needed=posted.form),
        feedback=feedback_of(values.get("feedback")),
        hold=hold_of(values.get("for"), verdict),
        params=params,
        seen=seen,
    )


def verdict_of(decision: object) -> Verdict:
    """Raises BadRequest for what is neither of the two words."""
    if decision not in ("approve", "deny"):
        raise BadRequest("A decision is `approve` or `deny`.", code="bad_decision", hint="Nothing was decided.")
    return decision


def feedback_of(feedback: object) -> str | None:
    """The message to the agent, if any. Raises Unprocessable."""
    if feedback is not None and (not isinstance(feedback, str) or len(feedback) > LONGEST_FEEDBACK):
        raise Unprocessable(
            f"`feedback` is text of at most {LONGEST_FEEDBACK} characters.",
            code="invalid_params",
            hint="Write a shorter message. Nothing was decided.",
        )
    words = feedback.replace("\r\n", "\n").strip() if feedback else ""
    return words or None


def digest_of(digest: object, *, needed: bool) -> str | None:
    """The digest that was shown. Raises Conflict where it is needed and is none."""
    if digest is not None and not isinstance(digest, str):
        raise BadRequest("`digest` is text.", code="bad_decision", hint="Send the digest that the page shows.")
    if needed and (not digest or not _DIGEST.fullmatch(digest)):
        raise Conflict(
            "The form did not say what it showed. Nothing was decided.",
            code="digest_mismatch",
            hint="Open the link again and decide on what it shows.",
        )
    return digest


def hold_of(text: object, verdict: Verdict) -> Millis | None:
    """ "Approve for a while": how long. Raises BadRequest for what is no duration, or comes with a denial."""
    if text is None or text == "":
        return None
    hold = milliseconds(text) if isinstance(text, str) and len(text) <= _ONE_LINE else None
    if not hold or verdict != "approve":
        raise BadRequest(
            "`for` is a duration such as `1h`, and comes with an approval.",
            code="bad_decision",
            hint="Leave it out to approve this call alone. Nothing was decided.",
        )
    return hold


def editable(page: ApprovalPage) -> tuple[Editor, ...]:
    """The parameters that an approver may change, as they stand in a form: of those that this page shows."""
    known = {param.name: param.schema for param in page.action.params if not (page.hides and param.sensitive)}
    names = [name for name in page.execution.decision.editable if name in known]
    return tuple(_editor(name, page.execution.params.get(name), known[name]) for name in names)


def _editor(name: str, value: Any, schema: Mapping[str, Any]) -> Editor:
    kinds = schema.get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    options = schema.get("enum", ())
    hides = isinstance(value, str) and visible(value) != value
    if options and all(isinstance(option, str) and option for option in options):
        return Editor(name, "choice", value if isinstance(value, str) else "", tuple(options))
    if isinstance(value, bool) or (value is None and kinds & {"boolean"}):
        return Editor(name, "choice", "" if value is None else str(value).lower(), ("true", "false"))
    if isinstance(value, str) or (value is None and "string" in kinds):
        return Editor(name, "text", value or "", hides=hides)
    if isinstance(value, int | float) or (value is None and kinds & {"integer", "number"}):
        return Editor(name, "number", "" if value is None else _json(value))
    items = schema.get("items")
    texts = isinstance(items, Mapping) and items.get("type") == "string"
    plain = isinstance(value, list) and all(isinstance(item, str) and _fits_a_line(item) for item in value)
    if (plain and (value or texts)) or (value is None and texts):
        text = "\n".join(value or ())
        return Editor(name, "lines", text, hides=visible(text) != text)
    return Editor(name, "json", "" if value is None else _json(value))


def _edited(values: Mapping[str, Any], editors: Collection[Editor], page: ApprovalPage | None) -> dict[str, Any]:
    """What the form changes: nothing that reads as it was."""
    changed: dict[str, Any] = {}
    for editor in editors:
        posted = values.get(EDIT + editor.name)
        if posted is None or _level(posted) == _level(editor.text):
            continue
        changed[editor.name] = _value(editor, _level(posted), page)
    if not changed:
        raise Unprocessable(
            "Nothing was changed.", code="invalid_params", hint="Change a value, or approve the call as it is."
        )
    return changed


def _value(editor: Editor, text: str, page: ApprovalPage | None) -> Any:
    if editor.kind == "text":
        return text
    if editor.kind == "lines":
        return [line for line in text.split("\n") if line]
    if editor.kind == "choice":
        truth = editor.options == ("true", "false")
        if text in editor.options:
            return text == "true" if truth and _boolean(editor.name, page) else text
        raise _unfit(editor.name, "is none of the values that it may have")
    value = _parsed(editor.name, text)
    if editor.kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _unfit(editor.name, "is a number")
    return value


def _boolean(name: str, page: ApprovalPage | None) -> bool:
    schemas = [param.schema for param in page.action.params if param.name == name] if page is not None else []
    return not any("enum" in schema for schema in schemas)


def _parsed(name: str, text: str) -> Any:
    """A value of JSON under the rules of the door (RFC 7493), alone in its object."""
    try:
        found = parse_json(b'{"value":' + text.encode() + b"}")
    except (BadRequest, UnicodeEncodeError):
        raise _unfit(name, "is no JSON value") from None
    if found.keys() != {"value"}:
        raise _unfit(name, "is no JSON value")
    return found["value"]


def _params(params: object, allowed: bool) -> dict[str, Any] | None:
    if params is None:
        return None
    if not allowed:
        raise BadRequest(
            "Parameters are changed one request at a time.", code="bad_decision", hint="Open the request's own page."
        )
    if not isinstance(params, dict) or not params:
        raise Unprocessable(
            "`params` is an object of the parameters to change.", code="invalid_params", hint="Nothing was decided."
        )
    return params


def _fits_a_line(item: str) -> bool:
    return bool(item) and "\n" not in item and "\r" not in item


def _level(text: str) -> str:
    """Line ends as a form sends them are those that were shown: browsers write CR LF for each."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _unfit(name: str, why: str) -> Unprocessable:
    fault = {"pointer": f"/params/{name}", "message": why}
    return Unprocessable(
        "A changed value does not fit.",
        code="invalid_params",
        hint="Go back and correct it. Nothing was decided.",
        members={"faults": [fault]},
    )
