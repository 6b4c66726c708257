"""An e-mail (RFC 5322) made of readable parameters, and which parameters an action whose body is one must have.

Every byte follows from the parameters, on every version of Python: the digest covers them, and paused calls outlive an
upgrade. So the text is written out here: the standard library folds headers differently from version to version, drops
a subject's first blanks, and sends a subject that looks like an encoded word decoded, as something else than was
approved. What is dated or random (Date, Message-ID) is left to the server that sends; one part needs no boundary.
"""

from __future__ import annotations

import re
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jit_auth.core.target import unfit
from jit_auth.model import Param

RAW = "raw"
"""The member of the JSON body that holds the message."""

_HEADERS = {
    "from": "From",
    "to": "To",
    "cc": "Cc",
    "bcc": "Bcc",
    "reply_to": "Reply-To",
    "subject": "Subject",
    "in_reply_to": "In-Reply-To",
    "references": "References",
}
PARTS = frozenset((*_HEADERS, "text"))
"""The parameters that a message is made of."""

_ADDRESSES = frozenset({"from", "to", "cc", "bcc", "reply_to"})
_IDS = frozenset({"in_reply_to", "references"})
_METHODS = ("POST", "PUT", "PATCH")
_CLOSING = (
    b'MIME-Version: 1.0\r\nContent-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
)

# Parsers decode an encoded word (RFC 2047) also where none may stand: `=?utf-8?q?eve=40evil.example=2C?=@good.example`
# would reach two people, and the approver saw one.
_ENCODED_WORD = "=?"
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
_LONGEST_ADDRESS = 254
_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>")
_LONGEST_ID = 900  # in a line of at most 998
_BREAK = re.compile(r"\r\n?|\n")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_AS_IT_IS = re.compile(r"[!-~](?:[ -~]{0,67}[!-~])?")  # with the header's name a line of at most 78
_WORD = 39  # bytes in an encoded word: with the header's name a line of at most 76


def misdeclared(method: str, params: Sequence[Param]) -> Iterator[tuple[str, str]]:
    """What keeps an action of `method` with `params` from having a message as its body: parameter (or ""), why."""
    if method not in _METHODS:
        yield "", f"{method} sends no message: expected {', '.join(_METHODS)}"
    declared = {param.name: param for param in params}
    for name in ("to", "text"):
        if name not in declared:
            yield name, f"a message needs the parameter {name!r}"
    for name, param in declared.items():
        if name == RAW:
            yield name, "is where the message itself goes"
        elif name in PARTS:
            if param.where != "body":
                yield name, "is a part of the message, and goes to the body"
            if why := _misfit(param):
                yield name, why


def _misfit(param: Param) -> str | None:
    schema = param.schema
    single = schema.get("type") == "string" and not param.integer
    if param.name not in _ADDRESSES | _IDS:
        return None if single else "is text: type string"
    items = schema.get("items") if schema.get("type") == "array" and "prefixItems" not in schema else None
    several = isinstance(items, Mapping) and items.get("type") == "string"
    if param.name in _IDS:
        return None if single or several else "is one Message-ID or several: type string, or array of string"
    if param.name == "from":
        return None if single and schema.get("format") == "email" else "is one address: type string, format email"
    if (single and schema.get("format") == "email") or (several and items and items.get("format") == "email"):
        return None
    return "is one address or several: type string with format email, or array of such items"


def raw(params: Mapping[str, Any]) -> str:
    """The message in base64url (RFC 4648), of validated `params`. Raises Unprocessable (`invalid_params`)."""
    return urlsafe_b64encode(message(params)).decode("ascii")


def message(params: Mapping[str, Any]) -> bytes:
    """The message: one part, text/plain in UTF-8, its line breaks CRLF (RFC 2046). Other parameters are not read.

    Raises Unprocessable (`invalid_params`) for what could not be read back as the same header.
    """
    lines: list[str] = []
    for name, header in _HEADERS.items():
        value = params.get(name)
        if value is None:
            continue
        if name == "subject":
            lines.append(f"{header}: {_subject(value)}\r\n")
            continue
        values = value if isinstance(value, list) else [value]
        judge, glue = (_address, ",\r\n ") if name in _ADDRESSES else (_id, "\r\n ")
        if values:
            lines.append(f"{header}: {glue.join([judge(name, each) for each in values])}\r\n")
    text = _BREAK.sub("\r\n", _text("text", params.get("text", "")))
    return "".join(lines).encode("ascii") + _CLOSING + encodebytes(text.encode()).replace(b"\n", b"\r\n")


def _text(name: str, value: Any) -> str:
    if type(value) is not str:
        raise unfit(name, "is no text")
    return value


def _address(name: str, value: Any) -> str:
    address = _text(name, value)
    if len(address) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(address):  # judged again: the last door
        raise unfit(name, "is not exactly one plain address (name@example.com)")
    if _ENCODED_WORD in address:
        raise unfit(name, "holds an address that could be read as another one (RFC 2047)")
    return address


def _id(name: str, value: Any) -> str:
    message_id = _text(name, value)
    if len(message_id) > _LONGEST_ID or not _ID.fullmatch(message_id) or _ENCODED_WORD in message_id:
        raise unfit(name, "is no Message-ID (<left@right>), or a list of them")
    return message_id


def _subject(value: Any) -> str:
    """The subject as it is where nobody could read it otherwise, else as encoded words (RFC 2047), one a line."""
    subject = _text("subject", value)
    if _CONTROL.search(subject):
        raise unfit("subject", "is no single line without control characters")
    if not subject or (_AS_IT_IS.fullmatch(subject) and _ENCODED_WORD not in subject):
        return subject
    words = [b""]
    for character in subject:  # a word holds whole characters
        encoded = character.encode()
        if len(words[-1]) + len(encoded) > _WORD:
            words.append(b"")
        words[-1] += encoded
    return "\r\n ".join(f"=?utf-8?b?{b64encode(word).decode('ascii')}?=" for word in words)
