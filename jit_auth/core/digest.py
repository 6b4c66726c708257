"""JSON strictly in (RFC 7493), one form out (RFC 8785), and the digest of a call: what people approve.

Everything later (digest, policy, card, request) reads the one value that `parse_json` returned: the received bytes are
never forwarded, so there is no second reading of them to disagree with (THREAT_MODEL 20).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import rfc8785

from jit_auth.core.ids import DERIVED_LENGTH, derived_key
from jit_auth.errors import BadRequest
from jit_auth.model import Place, Request

FORMAT = 1
"""Version of the digest document; a change of what it covers raises it."""

FROM_EXECUTION = "{execution}"
"""Stands in the digest for whatever is derived from the execution's id."""

_DEEPEST = 16
_LARGEST = 2**53 - 1
_NONCHARACTERS = "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
_UNUSABLE = re.compile(f"[\0\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")
_NONCHARACTER_BYTES = re.compile(rb"\xef\xb7[\x90-\xaf]|\xef\xbf[\xbe\xbf]|[\xf0-\xf4][\x8f\x9f\xaf\xbf]\xbf[\xbe\xbf]")
_DIGIT = re.compile(rb"\d")
_LONG_NUMBER = re.compile(rb"\d{16}")

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def parse_json(body: bytes) -> dict[str, Any]:
    """The object that `body` holds, under I-JSON's rules (RFC 7493) and our limits.

    Raises BadRequest (`bad_json`) for: no UTF-8, a byte order mark, duplicate member names, NUL, lone surrogates,
    noncharacters, NaN or a number beyond the doubles, an integer literal beyond +-(2^53-1), more than 16 levels (the
    body is the first), and anything but an object.
    """
    try:
        value = msgspec.json.decode(body)
        # Equal bytes prove that no name occurs twice and that no number or string was altered by reading. JSON comes
        # without spaces, or with one after each comma and colon (what Python's json writes): both are compared.
        same = _encode(value)
        if (same != body and msgspec.json.format(same, indent=0) != body) or _suspect(body):
            value = _carefully(body)
        elif body.count(b"{") + body.count(b"[") > _DEEPEST:
            _judge(value, 1)
    except _Unfit as error:
        raise _bad(str(error)) from None
    except RecursionError:
        raise _bad(f"it is nested deeper than {_DEEPEST} levels") from None
    except (ValueError, msgspec.MsgspecError) as error:
        # msgspec refuses what JSON allows in places (a large exponent); only the careful reading has the last word.
        value = _second_opinion(body, error)
    if type(value) is not dict:
        raise _bad("it is no object")
    return value


def _suspect(body: bytes) -> bool:
    """Whether it may hold what the fast path cannot vouch for in bytes that msgspec writes again unaltered.

    That is \\u0000, noncharacters, and runs of digits long enough to pass 2^53-1. A yes decides nothing; it only sends
    the body the careful way.
    """
    if b"\\u0000" in body or (not body.isascii() and _NONCHARACTER_BYTES.search(body)):
        return True
    # Sixteen digits in a row hold one of every sixteen bytes: most bodies are cleared by looking at those alone.
    return _DIGIT.search(body[15::16]) is not None and _LONG_NUMBER.search(body) is not None


class _Unfit(Exception):
    """JSON, but not the JSON that we take."""


def _bad(why: str) -> BadRequest:
    return BadRequest(
        f"The body is not usable JSON: {why}.",
        code="bad_json",
        hint="Send one JSON object as RFC 7493 has it: UTF-8, unique names, finite numbers, long integers as strings.",
    )


def _second_opinion(body: bytes, first: Exception) -> Any:
    try:
        return _carefully(body)
    except _Unfit as error:
        raise _bad(str(error)) from None
    except RecursionError:
        raise _bad(f"it is nested deeper than {_DEEPEST} levels") from None
    except ValueError:
        raise _bad("it cannot be read as JSON") from first


def _carefully(body: bytes) -> Any:
    """Read with every check in place. Raises _Unfit, ValueError (no JSON), RecursionError."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise _Unfit("it begins with a byte order mark")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise _Unfit("it is not UTF-8") from None
    value = json.loads(text, object_pairs_hook=_unique, parse_int=_int, parse_float=_float, parse_constant=_constant)
    _judge(value, 1)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Unfit("a member name occurs twice in one object")
    return made


def _int(literal: str) -> int:
    if len(literal) > 17 or abs(value := int(literal)) > _LARGEST:
        raise _Unfit("an integer is beyond 2^53-1; send it as a string")
    return value


def _float(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise _Unfit("a number is no finite double")
    return value


def _constant(literal: str) -> Any:
    raise _Unfit(f"{literal} is no JSON")


def _judge(value: Any, depth: int) -> None:
    kind = type(value)
    if kind is str:
        if _UNUSABLE.search(value):
            raise _Unfit("a string holds NUL, a lone surrogate or a noncharacter")
    elif kind is dict or kind is list:
        if depth > _DEEPEST:
            raise _Unfit(f"it is nested deeper than {_DEEPEST} levels")
        if kind is dict:
            for name in value:
                if _UNUSABLE.search(name):
                    raise _Unfit("a name holds NUL, a lone surrogate or a noncharacter")
            value = value.values()
        for inner in value:
            _judge(inner, depth + 1)


def canonical(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value. Raises ValueError where it has none (NaN, integers beyond 2^53-1)."""
    if _plain(value):
        return _encode_sorted(value)
    return rfc8785.dumps(value)


def _plain(value: Any) -> bool:
    """Whether msgspec's sorted form is RFC 8785's: no double, small integers, names of ASCII."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_LARGEST <= value <= _LARGEST)
    if kind is dict:
        return all(map(str.isascii, value)) and all(map(_plain, value.values()))
    if kind is list or kind is tuple:
        return all(map(_plain, value))
    return False


def sha256_text(data: bytes) -> str:
    """`sha256:` and the hash in hex."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest(
    *,
    action: str,
    provider: str,
    params: Mapping[str, Any],
    user: str | None,
    verified: bool,
    chain: Sequence[str],
    account: str | None,
    request: Request | None,
    places: Sequence[Place] | None,
    execution_id: str,
    encoded: bytes | None = None,
) -> str:
    """SHA-256 over the RFC 8785 form of who acts for whom and of the request that leaves: what an approval stands for.

    `params` are those after defaults (`encoded`: their RFC 8785 form, where it is known); `places` are where the
    credential will be added. Request and places are None where the agent runs a function of its own. Header values that
    are derived from the execution's id are replaced by a fixed word, so that an equal call has an equal digest.
    """
    leaves: dict[str, Any] | None = None
    if request is not None:
        headers: Sequence[tuple[str, str]] = request.headers
        for _, given in headers:
            if len(given) == DERIVED_LENGTH:
                derived = derived_key(execution_id)
                headers = [(name, FROM_EXECUTION if value == derived else value) for name, value in headers]
                break
        leaves = {
            "body": hashlib.sha256(request.body).hexdigest(),
            "headers": headers,
            "method": request.method,
            "url": request.url,
        }
    # Names in RFC 8785's order and no number but FORMAT: encoding as it stands is the canonical form.
    document = {
        "account": account,
        "action": action,
        "chain": chain,
        "format": FORMAT,
        "params": msgspec.Raw(encoded or canonical(params)),
        "places": [(place.where, place.name) for place in places] if places is not None else None,
        "provider": provider,
        "request": leaves,
        "user": user,
        "verified": verified,
    }
    return sha256_text(_encode(document))
