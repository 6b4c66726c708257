"""Certificate authorities of one's own, from a PEM file: what `ca_file` names."""

from __future__ import annotations

import ssl
from pathlib import Path

_LARGEST = 1 << 20  # bytes
_MARK = b"-----BEGIN CERTIFICATE-----"


def authorities(path: Path) -> str:
    """The certificates in the file, as PEM in one form, each once; nothing else that stands in it. Raises ValueError.

    What is read here decides whom a secret is sent to: its content, not the file's name, is part of the catalog.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise ValueError(f"{path} is larger than 1 MiB")
    if _MARK not in data:
        raise ValueError(f"{path} holds no certificate in PEM")
    # Certificates are a tenth of a command's start: only where a connector names some.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(data)
        text = "".join(dict.fromkeys(each.public_bytes(Encoding.PEM).decode("ascii") for each in found))
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ValueError, ssl.SSLError):
        raise ValueError(f"{path} holds a certificate that cannot be read") from None
    return text
