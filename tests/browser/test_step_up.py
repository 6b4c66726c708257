"""Chromium signs in, enrols a passkey on its owner's page and decides something critical with it, by clicks alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, expect
from pytest_asyncio import fixture

from jit_auth.cli.receipts import unproven
from tests.integration.signin.service import ANA, Corp, corp

DAY = 86_400_000
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@fixture(loop_scope="session")
async def world(tmp_path: Path) -> AsyncIterator[Corp]:
    async with corp(tmp_path) as made:
        made.public_url = f"http://localhost:{made.port}"
        made.write()
        path = tmp_path / "config.toml"
        path.write_text(path.read_text().replace("[server]\n", '[server]\nhosts = ["127.0.0.1"]\n', 1))
        async with made.running():
            await made.consented()
            await made.consented(action="note_again", text="x")
            yield made


async def test_from_the_sign_in_to_a_signed_decision(world: Corp, chromium: Browser) -> None:
    context = await chromium.new_context(viewport={"width": 360, "height": 740})
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    session = await context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    await session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    world.issuer.claims = {"email": ANA, "sub": "s-ana"}

    await page.goto(f"{world.at}/me/passkeys")
    await page.get_by_label("What you call it").fill("this browser")
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_role("button", name="Make the passkey").click()
    await expect(page.get_by_role("heading", name="this browser")).to_be_visible()

    world.clock.offset += DAY + 1000  # it counts for risk critical a day later
    asked = await world.asked("wipe")
    await page.goto(f"{world.at}/approvals/{asked.ask}")
    await page.get_by_role("button", name="Approve with a passkey").click()
    await expect(page.get_by_role("heading", name="Confirm with your passkey")).to_be_visible()
    await page.get_by_role("button", name="Approve with your passkey").click()
    await expect(page.get_by_role("heading", name="You approved this")).to_be_visible()

    await world.ended(asked.execution)
    assert await world.votes(asked.execution) == [(ANA, "approve", "passkey")]
    assert world.service is not None
    assert await unproven(world.service.store, world.at) == (1, [])
    assert [text for text in complaints if "Content Security" in text or "Refused" in text] == []
    await context.close()
