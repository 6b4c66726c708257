"""SIGHUP: the files anew as one bundle, all or nothing; what is under way goes on, decided by what is in force."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace

from jit_auth import reload as reloading
from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.load import load
from jit_auth.config.settings import Settings
from tests.integration.attacks.meddler import Meddler
from tests.integration.operators.conftest import TOKENS, admin, facts
from tests.integration.service.kit import ADMIN, AGENT, OTHER, POLICIES, Kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
NOTE = {"text": "x"}
CLOSED = (
    POLICIES.replace('match = ["mailhub.note", "mailhub.note_again"]\neffect = "allow"', "")
    .replace(
        'match = ["mailhub.delete_message"]', 'match = ["mailhub.delete_message", "mailhub.note", "mailhub.note_again"]'
    )
    .replace('[[rule]]\nid = "note"\n', "")
)
"""Notes are no longer allowed."""


def files(world: Kit) -> Callable[[], Settings]:
    return lambda: load(world.folder / "config.toml", channels=CHANNEL_TABLES)


async def reload(world: Kit) -> bool:
    """The files as they are, as a SIGHUP does."""
    assert world.service is not None
    return await world.service.reload(files(world))


async def close(world: Kit) -> None:
    """Notes are closed by a reload."""
    (world.folder / "policies.toml").write_text(CLOSED)
    assert await reload(world)


def edit(world: Kit, old: str, new: str, name: str = "config.toml") -> None:
    path = world.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


async def ready(world: Kit) -> tuple[int, str]:
    async with world.session.get(world.url + "/readyz") as reply:
        return reply.status, await reply.text()


async def note(world: Kit) -> object:
    """The status of a note, or the code of its refusal."""
    answer = await world.execute("note", params=NOTE)
    return answer.json.get("code") or answer.json["status"]


async def soon(what: Callable[[], object]) -> None:
    for _ in range(500):
        if what():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_rules_are_taken_over_and_on_record(world: Kit) -> None:
    assert world.service is not None
    before = await world.execute("note", params=NOTE)
    (world.folder / "policies.toml").write_text(CLOSED)
    assert await note(world) == "succeeded", "a file that was only written changes nothing"
    assert await reload(world)
    after = await world.execute("note", params=NOTE)
    assert (after.status, after.json["code"]) == (403, "policy_denied")
    assert after.json["execution"]["decision"]["policy"] != before.json["decision"]["policy"]
    assert await ready(world) == (200, "ok")
    loads = await facts(world, "config.loaded")
    assert len(loads) == 2
    assert loads[1]["policy"] == after.json["execution"]["decision"]["policy"]
    assert loads[1]["bundle"] == world.service.engine.bundle.hash == world.service.store.bundle
    assert [fact["bundle"] for fact in await facts(world, "bundle")] == [load["bundle"] for load in loads]


async def test_the_same_files_again_raise_nothing(world: Kit) -> None:
    assert world.service is not None
    epoch = world.service.store.epoch
    assert await reload(world)
    assert world.service.store.epoch == epoch
    assert len(await facts(world, "config.loaded")) == 2, "a load is on record all the same"


FAULTS = {
    "policy": ("policies.toml", 'id = "note"', 'id = "note"\nwhen = "params.txet == 1"', "policies.toml:"),
    "connector": ("connectors/mailhub/connector.toml", 'risk = "low"', 'risk = "little"', "connector.toml:"),
    "config": ("config.toml", "[agents.otherbot]", "[agents.otherbot]\nsecret = 1", "config.toml:"),
    "person": ("config.toml", 'groups = ["finance"]', 'aliases = ["alice@example.com"]', "config.toml:"),
    "secret": ("config.toml", 'client_secret = "', 'client_secret = { env = "NO_SUCH" } # "', "config.toml:"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
async def test_a_faulty_file_changes_nothing_and_is_told(
    what: str, world: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    assert world.service is not None
    name, old, new, place = FAULTS[what]
    good = (world.folder / name).read_text()
    edit(world, old, new, name)
    if name != "policies.toml":
        (world.folder / "policies.toml").write_text(CLOSED)  # nothing of the rest is taken either
    bundle = world.service.engine.bundle
    assert not await reload(world)
    assert world.service.engine.bundle is bundle
    assert await ready(world) == (200, "reload_failed")
    assert await note(world) == "succeeded"
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert place in told[0], told
    assert told[0].split(place)[1].split(":")[0].isdigit(), "with its line"
    assert "stays in force" in told[-1]
    (fact,) = await facts(world, "config.reload_failed")
    assert (fact["code"], fact["faults"], fact["actor"]) == ("faults", len(told) - 1, "engine")
    assert (world.service.reloads.failed, world.service.reloads.failures) == (True, 1)
    (world.folder / name).write_text(good)
    assert await reload(world)
    assert await ready(world) == (200, "ok")
    assert (world.service.reloads.failed, world.service.reloads.failures) == (False, 1)


async def test_a_file_that_is_gone_changes_nothing(world: Kit) -> None:
    (world.folder / "policies.toml").unlink()
    assert not await reload(world)
    assert await note(world) == "succeeded"


async def test_a_fault_of_the_program_changes_nothing(world: Kit, caplog: pytest.LogCaptureFixture) -> None:
    def burst() -> Settings:
        raise RecursionError

    assert world.service is not None
    assert not await world.service.reload(burst)
    assert await ready(world) == (200, "reload_failed")
    assert await note(world) == "succeeded"
    assert (await facts(world, "config.reload_failed"))[0]["code"] == "internal"


async def test_a_call_decided_before_is_decided_anew(world: Kit, meddler: Meddler) -> None:
    meddler.do("before", "send", lambda: close(world))
    assert await note(world) == "policy_denied"
    assert world.mail.counts["POST"] == 0
    assert meddler.seen["send"] == 1, "it was tried, and refused"


async def test_a_call_decided_before_is_held_to_the_new_schema(world: Kit, meddler: Meddler) -> None:
    async def longer() -> None:
        old = 'params.text = { type = "string", required = true }'
        edit(world, old, old.replace(" }", ", minLength = 3 }"), "connectors/mailhub/connector.toml")
        assert await reload(world)

    meddler.do("before", "send", longer)
    assert await note(world) == "invalid_params"
    assert world.mail.counts["POST"] == 0


async def test_a_call_between_the_publishing_and_the_swap_waits_for_it(world: Kit, meddler: Meddler) -> None:
    calls: list[asyncio.Task[object]] = []

    async def call() -> None:
        calls.append(asyncio.create_task(note(world)))
        await soon(lambda: meddler.seen["send"])
        await asyncio.sleep(0.02)  # by now it was refused for its bundle

    meddler.do("after", "config.loaded", call)
    (world.folder / "policies.toml").write_text(POLICIES.replace("Mails leave", "They leave"))
    assert await reload(world)
    assert await calls[0] == "succeeded"
    assert (meddler.seen["send"], world.mail.counts["POST"]) == (2, 1)


async def test_nothing_under_way_is_lost(world: Kit) -> None:
    calls = []
    for number in range(6):
        calls += [asyncio.create_task(note(world)) for _ in range(8)]
        (world.folder / "policies.toml").write_text(POLICIES.replace("Mails leave", f"{number} mails leave"))
        assert await reload(world)
    assert [await call for call in calls] == ["succeeded"] * 48
    assert world.mail.counts["POST"] == 48


async def test_what_is_paused_is_judged_by_the_new_rules(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    link = await world.approval_link(paused)
    edit(world, 'id = "never"\nmatch = [', 'id = "never"\nmatch = ["mailhub.send_message", ', "policies.toml")
    assert await reload(world)
    assert (await world.decide(link)).status == 200
    ended = await world.ended(paused)
    assert (ended["status"], ended["error"]["code"]) == ("denied", "policy_denied")
    assert world.mail.counts["POST"] == 0


async def test_a_vote_of_somebody_who_has_left_does_not_count(world: Kit) -> None:
    bo = 'approval = { from = ["user:ana@example.com", "user:bo@example.com"] }'
    edit(world, 'approval = { from = ["user:ana@example.com"] }', bo, "policies.toml")
    assert await reload(world)
    waits = await world.execute("send_message", user="carl@example.com", params=SEND)
    link = await world.approval_link(waits.json["id"])
    assert (await world.decide(link)).status == 200
    edit(world, 'groups = ["finance"]', "active = false")
    assert await reload(world)
    async with world.session.get(link) as page:
        assert page.status == 404
    await world.connect(waits, user="carl")
    opened = (await world.call("GET", f"/executions/{waits.json['id']}?wait=1")).json
    assert opened["status"] == "paused"
    assert [item["approved_by"] for item in opened["waiting_for"]] == [[]]
    assert world.mail.counts["POST"] == 0


async def test_a_connector_brings_actions_and_takes_them(world: Kit) -> None:
    gone = (await world.execute("send_again", params={"subject": "x"})).json["id"]
    link = await world.approval_link(gone)
    edit(world, "[actions.send_again]", "[actions.send_anew]", "connectors/mailhub/connector.toml")
    edit(world, "mailhub.send_again", "mailhub.send_anew", "policies.toml")
    assert (await world.execute("send_anew", params={"subject": "x"})).status == 404
    assert await reload(world)
    assert (await world.execute("send_anew", params={"subject": "x"})).status == 202
    assert (await world.execute("send_again", params={"subject": "x"})).json["code"] == "unknown_action"
    async with world.session.get(link) as page:
        assert page.status == 410
    assert (await world.decide(link)).status == 410
    assert (await world.call("GET", f"/executions/{gone}")).json["status"] in ("paused", "denied")


async def test_agents_come_and_go(world: Kit) -> None:
    new = "jat_agt_" + "n" * 43
    mark = hashlib.sha256(OTHER.encode()).hexdigest()
    edit(world, "[agents.otherbot]", "[agents.newbot]")
    edit(world, mark, hashlib.sha256(new.encode()).hexdigest())
    assert (await world.call("GET", "/actions", token=new)).status == 401
    assert await reload(world)
    assert (await world.call("GET", "/actions", token=new)).status == 200
    assert (await world.call("GET", "/actions", token=OTHER)).status == 401


@pytest.mark.parametrize("how", ["removed", "rotated"])
async def test_a_token_that_is_gone_ends_its_stream(how: str, world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    assert world.service is not None
    stream = asyncio.create_task(world.call("GET", f"/executions/{paused}/events"))
    waits = world.service.engine.waits
    await soon(lambda: waits._waiting.get(paused))
    if how == "removed":
        edit(world, "[agents.mailbot]", "[agents.anotherbot]")
    else:
        edit(world, hashlib.sha256(AGENT.encode()).hexdigest(), "0" * 64)
    assert await reload(world)
    async with asyncio.timeout(5):
        await asyncio.wait([stream])


async def test_a_wait_of_an_agent_that_is_gone_ends_with_its_call(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    assert world.service is not None
    waiting = asyncio.create_task(world.call("GET", f"/executions/{paused}?wait=30"))
    waits = world.service.engine.waits
    await soon(lambda: waits._waiting.get(paused))
    edit(world, "[agents.mailbot]", "[agents.anotherbot]")
    edit(world, hashlib.sha256(AGENT.encode()).hexdigest(), "0" * 64)
    assert await reload(world)
    async with asyncio.timeout(5):
        assert (await waiting).status == 401, "it ends at once, and what it waited for is not told"


async def slow(world: Kit, path: str, body: bytes, token: str, between: Callable[[], Awaitable[object]]) -> int:
    """The status of a request whose body ends only after `between`."""

    async def pieces():  # type: ignore[no-untyped-def]  # aiohttp's own shape
        yield body[:5]
        await asyncio.sleep(0.05)
        await between()
        yield body[5:]

    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with ClientSession() as session, session.post(world.url + path, data=pieces(), headers=headers) as reply:
        return reply.status


async def test_a_slow_body_does_not_outlive_its_token(world: Kit) -> None:
    async def change() -> None:
        edit(world, hashlib.sha256(AGENT.encode()).hexdigest(), "0" * 64)
        edit(world, hashlib.sha256(TOKENS["operator"].encode()).hexdigest(), "1" * 64)
        assert await reload(world)

    async def changed() -> None:
        return None

    body = b'{"action":"mailhub.note","user":"alice@example.com","params":{"text":"x"}}'
    assert await slow(world, "/execute", body, AGENT, changed) == 200
    halted = asyncio.create_task(slow(world, "/admin/halt", b'{"reason":"x"}', TOKENS["operator"], change))
    assert await halted == 401
    assert await ready(world) == (200, "ok")
    assert await slow(world, "/execute", body, AGENT, changed) == 401


async def test_an_agent_is_asked_again_after_its_body(world: Kit) -> None:
    async def change() -> None:
        edit(world, hashlib.sha256(AGENT.encode()).hexdigest(), "0" * 64)
        assert await reload(world)

    body = b'{"action":"mailhub.note","user":"alice@example.com","params":{"text":"x"}}'
    assert await slow(world, "/execute", body, AGENT, change) == 401
    assert world.mail.counts["POST"] == 0


async def test_admins_come_and_go(world: Kit) -> None:
    edit(world, "[admins.operator]", "[admins.olga]")
    edit(world, 'role = "viewer"', 'role = "security"')
    edit(world, f'admin_tokens = ["{ADMIN}"]', "admin_tokens = []")
    assert (await admin(world, "halt", {"reason": "x"}, role="viewer")).status == 403
    assert await reload(world)
    assert (await admin(world, "halt", {"reason": "x"}, role="operator")).status == 200
    assert (await admin(world, "resume", {"reason": "x"}, role="viewer")).status == 200
    assert [fact["actor"] for fact in await facts(world, "halted")] == ["admin:olga"]
    assert (await world.call("POST", "/admin/halt", {"reason": "x"}, token=ADMIN)).status == 401


async def test_a_suspended_agent_stays_suspended(world: Kit) -> None:
    await admin(world, "agents/mailbot/suspend", {"reason": "odd"})
    edit(world, "Mails leave", "They leave", "policies.toml")
    assert await reload(world)
    assert (await world.execute("note", params=NOTE)).json["code"] == "revoked"


async def test_what_takes_a_restart_is_named_and_kept(world: Kit, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    edit(world, 'environment = "test"', 'environment = "other"\nhosts = ["other.test"]')
    edit(world, 'allow_private_hosts = ["127.0.0.1"]', 'allow_private_hosts = ["127.0.0.1", "10.0.0.1"]')
    edit(world, '[users]\nverify = "none"', '[users]\nverify = "none"\nconsent = "shared"')
    secret = "whsec_" + "c2VjcmV0" * 4
    more = f'[limits]\ndeny_cooldown = "1m"\n[webhooks.ops]\nurl = "https://ops.example.com/x"\nsecret = "{secret}"\n'
    (world.folder / "config.toml").write_text((world.folder / "config.toml").read_text() + more)
    (world.folder / "policies.toml").write_text(CLOSED)
    assert await reload(world)
    assert await note(world) == "policy_denied", "the rest is in force"
    (told,) = [record.getMessage() for record in caplog.records if "after a restart" in record.getMessage()]
    assert told.partition(": ")[2].split(", ") == [
        "server.environment", "server.hosts", "users.consent", "connectors.allow_private_hosts", "limits.deny_cooldown",
        "webhooks.ops",
    ]  # fmt: skip
    assert "c2VjcmV0" not in caplog.text
    assert world.service is not None
    assert not world.service.engine.bundle.shared_consent
    assert await reload(world)
    assert sum("after a restart" in record.getMessage() for record in caplog.records) == 2, "until it is restarted"


async def test_what_is_kept_no_longer_goes_after_a_reload(world: Kit) -> None:
    done = (await world.execute("note", params=NOTE)).json
    assert world.service is not None
    world.clock.offset += 60_000
    await world.service.store.sweep()
    assert (await world.call("GET", f"/executions/{done['id']}")).json == done
    config = world.folder / "config.toml"
    config.write_text(config.read_text() + '\n[retention]\nparams = "never"\nresults = "30s"\n')
    assert await reload(world)
    await world.service.store.sweep()
    assert (await world.call("GET", f"/executions/{done['id']}")).json == {
        **done,
        "result": None,
        "removed": ["result"],
    }


async def test_loopback_is_not_left_or_reached_by_a_reload(world: Kit, caplog: pytest.LogCaptureFixture) -> None:
    """What the file says of agents rests on it: their word about users, literal secrets."""
    assert world.service is not None
    assert not await world.service.reload(lambda: replace(files(world)(), loopback=False))
    assert "config.toml:3: server: only a restart" in caplog.text


async def test_two_at_once_come_one_after_the_other(world: Kit) -> None:
    assert await asyncio.gather(reload(world), reload(world), reload(world)) == [True] * 3
    assert len(await facts(world, "config.loaded")) == 4


async def test_a_service_that_drains_goes_on_as_it_was(world: Kit) -> None:
    assert world.service is not None
    (world.folder / "policies.toml").write_text(CLOSED)
    world.service.draining = True
    assert not await reload(world)
    assert not world.service.reloads.failed
    assert await note(world) == "succeeded"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_database_that_is_away_for_a_moment_is_tried_again(
    when: str, world: Kit, meddler: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "PUBLISH_PAUSES", (0.0,))
    meddler.fail("before" if when == "before" else "after", "config.loaded")
    await close(world)
    assert await note(world) == "policy_denied"
    assert await ready(world) == (200, "ok")


async def test_a_database_that_stays_away_leaves_what_was(
    world: Kit, meddler: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "PUBLISH_PAUSES", ())
    meddler.fail("before", "config.loaded")
    meddler.fail("before", "config.reload_failed")
    (world.folder / "policies.toml").write_text(CLOSED)
    assert not await reload(world)
    assert await ready(world) == (200, "reload_failed")
    assert await note(world) == "succeeded"
    assert await reload(world)
    assert await note(world) == "policy_denied"


async def test_one_of_two_replicas_sends_nothing_until_it_is_reloaded_too(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    assert one.service is not None
    for kit in replicas:
        edit(kit, "Mails leave", "They leave", "policies.toml")
    assert await reload(one)
    assert await ready(one) == (200, "ok")
    assert await note(one) == "succeeded"
    assert await note(two) == "stale_bundle"
    assert await ready(two) == (503, "stale_bundle")
    assert (await two.execute("send_message", params=SEND)).status == 202, "it still accepts and pauses"
    sent, epoch = one.mail.counts["POST"], one.service.store.epoch
    assert await reload(two)
    assert await ready(two) == (200, "ok")
    assert await note(two) == "succeeded"
    assert one.mail.counts["POST"] == sent + 1
    assert one.service.store.epoch == epoch, "it was published already"
