"""A mail server, and the whole service that mails by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jit_auth.channels import CHANNELS
from jit_auth.channels.email import EMAIL
from tests.fakes.smtp import MailServer, mail_server
from tests.integration.mail.service import GROUP, Mailed
from tests.integration.service.kit import kit


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with mail_server() as running:
        yield running


@pytest.fixture
async def resting(tmp_path: Path, server: MailServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mailed]:
    """Everything but the service: tests start and restart it. Ana and Bo are finance, Alice is the user."""
    monkeypatch.setitem(CHANNELS, "email", EMAIL)
    config = f"""
[channels.email]
smtp_url = "smtp://127.0.0.1:{server.port}"
from = "approvals@example.com"

[people."bo@example.com"]
groups = ["finance"]
"""
    users = '[users]\nverify = "none"\nnotify = ["email"]\n'
    async with kit(tmp_path, policies=GROUP, config=config, users=users) as found:
        found.__class__ = Mailed
        assert isinstance(found, Mailed)
        yield found


@pytest.fixture
async def world(resting: Mailed) -> AsyncIterator[Mailed]:
    """Everything, the service running."""
    async with resting.running():
        yield resting
