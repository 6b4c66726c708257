"""Two processes at one copy: what one of them gave up is closed by the one that had posted it."""

from __future__ import annotations

from jit_auth.model import Audit, Change, Unit
from tests.integration.slack.service import CHANNEL, Office


async def test_what_another_process_gave_up_meanwhile_is_closed_by_who_posted_it(office: Office) -> None:
    office.slack.fail("chat.postMessage", "hang")
    asked = await office.ask()
    await office.slack.until(lambda slack: slack.count("chat.postMessage"))
    decided = await office.kit.decide(await office.kit.approval_link(asked), "deny")
    assert decided.status == 200, decided.json
    assert office.kit.service is not None
    store = office.kit.service.store
    (copy,) = [card for card in await store.cards(asked) if card.via == "slack"]
    given_up = Change(copy, {"ref": "none", "due": None})
    await store.apply(Unit(None, (given_up,), Audit(actor="engine", what=())))
    office.slack.release()
    (message,) = await office.slack.until(
        lambda slack: [one for one in slack.messages if one.channel == CHANNEL and one.only_for is None]
    )
    await office.shows(message, "Denied by")
    assert office.names(message) == []
