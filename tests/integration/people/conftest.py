"""A service whose rules ask for every kind of approval."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.service.kit import Kit, kit

POLICIES = """
format = 1

[defaults]
unknown_to = ["group:finance"]

[groups]
finance = ["ana@example.com", "bo@example.com", "cy@example.com", "alice@example.com"]
directors = ["cy@example.com", "dee@example.com"]

[[rule]]
id = "read"
match = ["mailhub.list_messages"]
effect = "allow"

[[rule]]
id = "note"
match = ["mailhub.note", "mailhub.note_again"]
when = "params.text == 'x'"
effect = "allow"

[[rule]]
id = "watched"
match = ["mailhub.note_again"]
when = "params.text != 'x'"
effect = "require_approval"
approval = { from = ["group:finance"], need = 2, expires = "2h", remind = "30m", \
escalate = { after = "1h", to = ["group:directors"], counts = true } }

[[rule]]
id = "held"
match = ["mailhub.note"]
when = "params.text != 'x'"
effect = "require_approval"
reason = "Notes are read first"
approval = { from = ["group:finance"], for_max = "1h", max_uses = 2, editable = ["text"] }

[[rule]]
id = "mail"
match = ["mailhub.send_mail"]
effect = "require_approval"
approval = { from = ["group:finance"], editable = ["subject"] }

[[rule]]
id = "four-eyes"
match = ["mailhub.send_message"]
effect = "require_approval"
approval = { from = ["group:finance"] }

[[rule]]
id = "and-a-director"
match = ["mailhub.send_message"]
effect = "require_approval"
approval = { from = ["group:directors"] }

[[rule]]
id = "nobody"
match = ["mailhub.delete_message"]
effect = "require_approval"
approval = { from = ["user:zoe"], via = ["email"] }
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    """A running service; alice has connected her account."""
    config = '[channels.email]\nsmtp_url = "smtp://127.0.0.1:9"\nfrom = "approvals@example.com"\n'
    async with kit(tmp_path, policies=POLICIES, config=config) as made, made.running():
        await made.connected()
        yield made


async def links(world: Kit, execution_id: str) -> dict[str, str]:
    """The link of each approver of the newest round."""
    await world.approval_link(execution_id)
    opened: Any = (await world.call("GET", f"/executions/{execution_id}")).json
    ids = {item["id"] for item in opened["waiting_for"] if item["kind"] == "approval"}
    lines = [line.split() for line in world.printed]
    return {person: url for _, ask, person, url in lines if ask in ids}
