"""What a process loads when it starts: a command only what it needs, the service nothing that is not configured."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOADED = "import sys, json, importlib; importlib.import_module(sys.argv[1]); print(json.dumps(sorted(sys.modules)))"

PAGES = ("aiohttp", "jinja2", "jit_auth.web", "jit_auth.worker", "prometheus_client", "structlog")
CHANNELS = ("aiosmtplib", "slack_sdk", "jit_auth.channels.card", "jit_auth.channels.email.port")
PASSKEYS = ("webauthn", "pyasn1", "OpenSSL")
OAUTH = ("authlib", "joserfc", "jit_auth.oauth.protocol")
DECIDING = ("jit_auth.policy.rules", "jit_auth.engine.face", "jit_auth.engine.advance", "jit_auth.send")
SERVER = ("asyncpg", "sqlalchemy.dialects.postgresql", "jit_auth.storage.remote")
ALEMBIC = ("alembic", "sqlalchemy.orm")
OUTSIDE = (*PAGES, *CHANNELS, *PASSKEYS, *SERVER, *ALEMBIC, "opentelemetry")
COMMAND = (*OUTSIDE, *OAUTH, *DECIDING, "cryptography.x509")


FORBIDDEN = {
    "jit_auth.cli.main": (*COMMAND, "msgspec", "sqlalchemy"),
    "jit_auth.cli.revoke": COMMAND,
    "jit_auth.cli.halt": COMMAND,
    "jit_auth.cli.access": COMMAND,
    "jit_auth.cli.approvals": COMMAND,
    "jit_auth.cli.audit": COMMAND,
    "jit_auth.cli.keys": COMMAND,
    "jit_auth.cli.people": COMMAND,
    "jit_auth.app": (
        *(*CHANNELS[:2], *PASSKEYS, *SERVER, *ALEMBIC, "opentelemetry"),
        *("jit_auth.channels.slack.port", "jit_auth.channels.email.port", "jit_auth.web.openapi.document"),
    ),
}


@pytest.mark.parametrize("module", FORBIDDEN)
def test_a_start_loads_what_it_needs(module: str) -> None:
    """In an interpreter of its own: what this one has loaded says nothing."""
    came = subprocess.run([sys.executable, "-c", LOADED, module], capture_output=True, text=True, check=True)
    loaded = set(json.loads(came.stdout))
    assert "jit_auth" in loaded
    assert sorted(loaded & set(FORBIDDEN[module])) == []
