"""Writes a request as the bytes that leave, and refuses what could be read as more than one request.

Source: RFC 9112 3-6. The headers that frame a message are written here alone, from the URL and the body.
"""

from __future__ import annotations

import re

from jit_auth.egress.address import Target
from jit_auth.errors import AddressRefused
from jit_auth.model import Request

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_METHOD = re.compile(r"[A-Z][A-Z-]*")
_OURS = frozenset(
    {
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "upgrade", "te",
        "trailer", "expect",
    }
)  # fmt: skip
_NO_METHOD = frozenset({"CONNECT", "TRACE"})
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})


class Writer:
    """Request -> bytes. Names found good are remembered: connectors use the same few."""

    def __init__(self) -> None:
        self._names: dict[str, bool] = {}  # good name -> is it accept-encoding?

    def write(self, request: Request, target: Target) -> bytes:
        """The whole request; AddressRefused (`request_refused`) where method or headers are not plain."""
        method = request.method
        if not _METHOD.fullmatch(method) or method in _NO_METHOD:
            raise _refused(f"{method!a} is no method for a request.")
        lines = [f"{method} {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n"]
        coded = False
        names = self._names
        for name, value in request.headers:
            known = names.get(name)
            if known is None:
                known = self._judge(name)
            coded = coded or known
            # Printable ASCII: neither a line break (another header, another request) nor bytes that readers differ on.
            if not (value.isascii() and value.isprintable()):
                raise _refused(f"The value of the header {name} holds characters that no header may hold.")
            lines.append(f"{name}: {value}\r\n")
        if not coded:
            lines.append("Accept-Encoding: gzip, deflate\r\n")
        body = request.body
        if body or method in _BODY_EXPECTED:
            lines.append(f"Content-Length: {len(body)}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("ascii") + body

    def _judge(self, name: str) -> bool:
        lower = name.lower()
        if not _NAME.fullmatch(name) or lower in _OURS:
            raise _refused(f"{name!a} is no header that a request may set.")
        if len(self._names) >= 1024:
            self._names.clear()
        coded = self._names[name] = lower == "accept-encoding"
        return coded


def _refused(message: str) -> AddressRefused:
    return AddressRefused(message, code="request_refused")
