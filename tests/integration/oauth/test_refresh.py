"""Refreshing: once per grant whoever asks, journaled, refused after a stop, and only a dead grant is called broken."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jit_auth.egress import Egress
from jit_auth.errors import Away, Broken, Misconfigured, ProviderError, StorageError, VaultError
from jit_auth.model import Applied, Change, Grant, Provider, Raise, Stale, Stop, Token, Unit
from jit_auth.oauth.refresh import CLAIM, Refresher
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.fakes.provider_odd import OddProvider
from tests.integration.oauth.conftest import SUBJECTS, USER, granted, hub, opened, write


@pytest.fixture
def refresher(store: Store, egress: Egress) -> Refresher:
    return Refresher(store, egress)


async def fresh(
    refresher: Refresher, grant: Grant, provider: Provider, *, force: bool = False, used: str | None = None
) -> Grant:
    epoch, bundle, _ = await refresher._store.stops()
    return await refresher.fresh(grant, provider, subjects=SUBJECTS, epoch=epoch, bundle=bundle, force=force, used=used)


async def row(store: Store) -> Grant:
    grant = await store.grant("gra_1")
    assert grant is not None
    return grant


async def access(store: Store) -> str:
    return (await store.reveal(await row(store))).access


async def facts(store: Store) -> list[tuple[str, str]]:
    """(do, step or why) of every fact about grants on record, oldest first."""
    told = [fact for entry in await store.audit.tail(100) for fact in entry.what if "grant" in fact]
    return [(fact["do"], fact.get("step") or fact.get("why") or "") for fact in told]


async def stop(store: Store, kind: str, key: str) -> None:
    await write(store, Raise(stops=(Stop(kind=kind, id=key, epoch=0, active=True, who="operator"),)))


async def test_nothing_due_costs_nothing(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    grant = await granted(store, odd.issue("alice", "mail.read"), left=61_000)
    assert await fresh(refresher, grant, hub(odd)) is grant
    assert odd.counts == {}


async def test_a_due_token_is_refreshed_and_written(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family, left=59_000)
    new = await fresh(refresher, grant, hub(odd))
    token = await store.reveal(new)
    assert (token.access, token.refresh) == (family.access, family.refresh)
    assert new == await row(store)
    assert new.expires is not None
    assert new.expires - store.now() > 3_500_000
    assert (new.refresher, new.refresher_until, new.state) == (None, None, "live")
    assert await facts(store) == [("refresh", "begin"), ("refresh", "done")]
    assert (await store.audit.verify()).breaks == ()


async def test_the_mark_is_durable_before_the_token_leaves(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    odd.gate = asyncio.Event()
    grant = await granted(store, odd.issue("alice", "mail.read"))
    running = asyncio.create_task(fresh(refresher, grant, hub(odd)))
    await odd.reached.wait()
    marked = await row(store)
    assert marked.refresher is not None
    assert marked.refresher.startswith(store.process)
    assert (marked.refresher_until or 0) - store.now() > 20_000
    odd.gate.set()
    assert (await running).refresher is None


async def test_24_callers_share_one_refresh(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family)
    rows = await asyncio.gather(*(fresh(refresher, grant, hub(odd)) for _ in range(24)))
    assert odd.counts["refresh_token"] == 1
    assert {(await store.reveal(each)).access for each in rows} == {family.access}
    assert family.live


async def test_24_callers_of_two_stores_share_one_refresh(
    store: Store, egress: Egress, odd: OddProvider, clock: Clock, tmp_path: Path
) -> None:
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family)
    async with opened("sqlite:///jit.db", clock, tmp_path) as other:
        refreshers = [Refresher(store, egress), Refresher(other, egress)]
        rows = await asyncio.gather(*(fresh(refreshers[i % 2], grant, hub(odd)) for i in range(24)))
    assert odd.counts["refresh_token"] == 1
    assert {(await store.reveal(each)).access for each in rows} == {family.access}
    assert family.live


async def test_24_callers_share_one_failure(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    odd.faults = [(503, "text/html", "busy")] * 30
    grant = await granted(store, odd.issue("alice", "mail.read"))
    results = await asyncio.gather(*(fresh(refresher, grant, hub(odd)) for _ in range(24)), return_exceptions=True)
    assert [type(result) for result in results] == [Away] * 24
    assert odd.counts["refresh_token"] == 1


async def test_a_refused_token_is_replaced_once(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    family = odd.issue("alice", "mail.read")
    used = family.access
    grant = await granted(store, family, left=3_000_000)
    rows = await asyncio.gather(*(fresh(refresher, grant, hub(odd), force=True, used=used) for _ in range(24)))
    assert odd.counts["refresh_token"] == 1
    assert {(await store.reveal(each)).access for each in rows} == {family.access} != {used}
    again = await fresh(refresher, grant, hub(odd), force=True, used=used)
    assert (await store.reveal(again)).access == family.access
    assert odd.counts["refresh_token"] == 1


async def test_a_caller_is_not_put_off_with_what_another_wanted(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    family = odd.issue("alice", "mail.read")
    refused = family.access
    grant = await granted(store, family, left=3_000_000)
    remembered = msgspec.structs.replace(grant, expires=0)  # an old memory: the row is fresh by now
    first, second = await asyncio.gather(
        fresh(refresher, remembered, hub(odd)), fresh(refresher, grant, hub(odd), force=True, used=refused)
    )
    assert (first.token, odd.counts["refresh_token"]) == (grant.token, 1)
    assert (await store.reveal(second)).access == family.access != refused


async def test_force_without_the_token_goes_by_the_row(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    grant = await granted(store, odd.issue("alice", "mail.read"), left=3_000_000)
    new = await fresh(refresher, grant, hub(odd), force=True)
    assert odd.counts["refresh_token"] == 1
    assert await fresh(refresher, grant, hub(odd), force=True) == new
    assert odd.counts["refresh_token"] == 1


async def test_what_cannot_be_refreshed_comes_back_as_it_is(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    grant = await granted(store, odd.issue("alice", "mail.read"), left=10_000, refreshable=False)
    assert await fresh(refresher, grant, hub(odd)) is grant
    assert await fresh(refresher, grant, hub(odd), force=True, used=await access(store)) == grant
    assert odd.counts == {}
    assert (await row(store)).state == "live"


async def test_what_has_run_out_and_cannot_be_refreshed_is_broken(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    grant = await granted(store, odd.issue("alice", "mail.read"), left=-1, refreshable=False)
    with pytest.raises(Broken):
        await fresh(refresher, grant, hub(odd))
    assert odd.counts == {}
    assert await facts(store) == [("grant.broken", "expired, no refresh token")]


async def test_invalid_grant_breaks_and_is_not_tried_again(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    family = odd.issue("alice", "mail.read")
    family.live = False
    grant = await granted(store, family)
    for stale in (grant, grant, await row(store)):
        with pytest.raises(Broken):
            await fresh(refresher, stale, hub(odd))
    assert odd.counts["refresh_token"] == 1
    broken = await row(store)
    assert (broken.state, broken.token, broken.refresher, broken.refreshable) == ("broken", None, None, False)
    assert await facts(store) == [("refresh", "begin"), ("grant.broken", "invalid_grant")]


async def test_githubs_dead_token_in_a_200_breaks(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    odd.odd.error_in_200, odd.odd.broken_code = True, "bad_refresh_token"
    family = odd.issue("alice", "mail.read")
    family.live = False
    grant = await granted(store, family)
    with pytest.raises(Away):
        await fresh(refresher, grant, hub(odd))
    with pytest.raises(Broken):
        await fresh(refresher, grant, hub(odd, broken_errors=("bad_refresh_token",)))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ((503, "text/html", "busy"), Away), ((500, "application/json", '{"error":"invalid_grant"}'), Away),
        ((200, "application/json", '{"error":"invalid_grant"}'), Away), ((429, "text/plain", "slow"), Away),
        ((200, "text/html", "<p>"), Away), ((403, "text/html", "<p>blocked"), Away), ((302, "text/plain", ""), Away),
        ((401, "application/json", '{"error":"invalid_client"}'), Misconfigured),
    ],
)  # fmt: skip
async def test_a_passing_trouble_stores_nothing(
    refresher: Refresher, store: Store, odd: OddProvider, fault: tuple[int, str, str], kind: type[ProviderError]
) -> None:
    odd.faults.append(fault)
    grant = await granted(store, odd.issue("alice", "mail.read"))
    with pytest.raises(ProviderError) as caught:
        await fresh(refresher, grant, hub(odd))
    assert type(caught.value) is kind
    after = await row(store)
    assert (after.state, after.token, after.refresher) == ("live", grant.token, None)
    assert (await fresh(refresher, after, hub(odd))).state == "live"
    assert odd.counts["refresh_token"] == 2


async def test_unreachable_and_misdirected(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    grant = await granted(store, odd.issue("alice", "mail.read"))
    with pytest.raises(Away):
        await fresh(refresher, grant, hub(odd, token_url="http://127.0.0.1:1/token"))
    with pytest.raises(Misconfigured) as caught:
        await fresh(refresher, grant, hub(odd, token_url="https://evil.example/token"))
    assert caught.value.code == "address_refused"
    assert (await row(store)).refresher is None


async def test_metadata_that_leads_elsewhere_stops_a_refresh(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    odd.odd.metadata_says = {"token_endpoint": "https://evil.example/token"}
    grant = await granted(store, odd.issue("alice", "mail.read"))
    with pytest.raises(Misconfigured):
        await fresh(refresher, grant, hub(odd, issuer=odd.url, token_url=None))
    assert (await row(store)).state == "live"


async def test_a_lost_answer_is_told_only_when_the_provider_refuses(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    odd.hang_up.append("after")
    grant = await granted(store, odd.issue("alice", "mail.read"))
    with pytest.raises(Away):
        await fresh(refresher, grant, hub(odd))
    lost = await row(store)
    assert lost.state == "live"
    assert lost.refresher is not None
    with pytest.raises(Broken):
        await fresh(refresher, lost, hub(odd))
    assert (await facts(store))[-1] == ("grant.broken", "invalid_grant, a refresh was lost before")


async def test_a_lost_request_is_simply_made_again(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    odd.hang_up.append("before")
    grant = await granted(store, odd.issue("alice", "mail.read"))
    with pytest.raises(Away):
        await fresh(refresher, grant, hub(odd))
    assert (await fresh(refresher, await row(store), hub(odd))).refresher is None


async def test_a_refresher_that_died_is_replaced_when_its_time_is_up(
    store: Store, egress: Egress, odd: OddProvider, clock: Clock
) -> None:
    family = odd.issue("alice", "mail.read")
    dead: dict[str, Any] = {"refresher": "prc_dead/1", "refresher_until": store.now() + CLAIM}
    grant = await granted(store, family, **dead)

    async def pause(_seconds: float) -> None:
        assert odd.counts["refresh_token"] == 0
        clock.offset += 5_000

    new = await fresh(Refresher(store, egress, pause=pause), grant, hub(odd))
    assert (await store.reveal(new)).access == family.access
    assert odd.counts["refresh_token"] == 1


async def test_a_crash_after_the_exchange_is_told_as_lost(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family, refresher="prc_dead/1", refresher_until=store.now() - 1)
    odd._renew(family)  # the dead process spent the token
    with pytest.raises(Broken):
        await fresh(refresher, grant, hub(odd))
    assert (await facts(store))[-1] == ("grant.broken", "invalid_grant, a refresh was lost before")


async def test_invalid_grant_reads_again_before_giving_up(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    odd.gate = asyncio.Event()
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family)
    running = asyncio.create_task(fresh(refresher, grant, hub(odd)))
    await odd.reached.wait()
    now = store.now()
    reconnected = Token(access="at-2", refresh="rt-2", expires=now + 3_600_000, lifetime=3_600_000)
    to = {"token": reconnected, "expires": now + 3_600_000, "refresher": None, "refresher_until": None}
    await write(store, Change(await row(store), to))
    family.live = False
    odd.gate.set()
    assert (await store.reveal(await running)).access == "at-2"
    assert (await row(store)).state == "live"


async def test_a_newer_token_is_not_overwritten(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    odd.gate = asyncio.Event()
    grant = await granted(store, odd.issue("alice", "mail.read"))
    running = asyncio.create_task(fresh(refresher, grant, hub(odd)))
    await odd.reached.wait()
    now = store.now()
    reconnected = Token(access="at-2", refresh="rt-2", expires=now + 3_600_000, lifetime=3_600_000)
    await write(store, Change(await row(store), {"token": reconnected, "expires": now + 3_600_000}))
    odd.gate.set()
    assert (await store.reveal(await running)).access == "at-2"
    assert await access(store) == "at-2"


async def test_other_changes_of_the_row_do_not_lose_the_token(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    odd.gate = asyncio.Event()
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family)
    running = asyncio.create_task(fresh(refresher, grant, hub(odd)))
    await odd.reached.wait()
    await write(store, Change(await row(store), {"account_name": "Alice"}))
    odd.gate.set()
    new = await running
    assert (await store.reveal(new)).access == family.access
    assert new.account_name == "Alice"


async def test_a_grant_called_broken_too_early_recovers(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    odd.gate = asyncio.Event()
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family)
    running = asyncio.create_task(fresh(refresher, grant, hub(odd)))
    await odd.reached.wait()
    await write(store, Change(await row(store), {"state": "broken", "token": None, "refreshable": False}))
    odd.gate.set()
    new = await running
    assert (new.state, new.refreshable) == ("live", True)
    assert ("grant.recovered", "") in await facts(store)


@pytest.mark.parametrize(("kind", "key"), [("user", USER), ("provider", "odd"), ("grant", "gra_1")])
async def test_a_stop_while_refreshing_sends_the_token_to_the_outbox(
    refresher: Refresher, store: Store, odd: OddProvider, kind: str, key: str
) -> None:
    odd.gate = asyncio.Event()
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family)
    running = asyncio.create_task(fresh(refresher, grant, hub(odd)))
    await odd.reached.wait()
    await stop(store, kind, key)
    odd.gate.set()
    with pytest.raises(Broken):
        await running
    (owed,) = await store.outbox_due()
    token = await store.reveal(owed)
    assert (token.access, token.refresh) == (family.access, family.refresh)
    assert (owed.kind, owed.user, owed.provider) == ("revoke", USER, "odd")
    after = await row(store)
    assert (after.state, after.token) == ("broken", None)
    assert ("refresh", "too late") in await facts(store)


async def test_a_revocation_while_refreshing_is_final(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    odd.gate = asyncio.Event()
    grant = await granted(store, odd.issue("alice", "mail.read"))
    running = asyncio.create_task(fresh(refresher, grant, hub(odd)))
    await odd.reached.wait()
    await write(store, Change(await row(store), {"state": "revoked", "token": None}))
    odd.gate.set()
    with pytest.raises(Broken):
        await running
    assert (await row(store)).state == "revoked"
    assert len(await store.outbox_due()) == 1
    with pytest.raises(Broken):
        await fresh(refresher, grant, hub(odd))
    assert odd.counts["refresh_token"] == 1


@pytest.mark.parametrize("what", ["all", "agent", "connector", "bundle"])
async def test_what_does_not_concern_the_grant_loses_no_token(
    refresher: Refresher, store: Store, odd: OddProvider, what: str
) -> None:
    odd.gate = asyncio.Event()
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family)
    running = asyncio.create_task(fresh(refresher, grant, hub(odd)))
    await odd.reached.wait()
    if what == "bundle":
        await store.publish("sha256:other", "operator")
    else:
        await stop(store, what, {"all": "", "agent": "mailbot", "connector": "odd"}[what])
    odd.gate.set()
    assert (await store.reveal(await running)).access == family.access
    assert await store.outbox_due() == ()


@pytest.mark.parametrize(
    ("odds", "scopes"),
    [
        ({}, ("mail.read", "mail.send")), ({"drop_at_refresh": ("mail.send",)}, ("mail.read",)),
        ({"drop_at_refresh": ("mail.send",), "tell_scopes": False}, ("mail.read", "mail.send")),
    ],
)  # fmt: skip
async def test_scopes_after_a_refresh(
    refresher: Refresher, store: Store, odd: OddProvider, odds: dict[str, Any], scopes: tuple[str, ...]
) -> None:
    for name, value in odds.items():
        setattr(odd.odd, name, value)
    grant = await granted(store, odd.issue("alice", "mail.read", "mail.send"))
    assert (await fresh(refresher, grant, hub(odd))).scopes == scopes
    changed = ("grant.scopes_changed", "") in await facts(store)
    assert changed is (scopes == ("mail.read",))


async def test_what_a_reply_leaves_out_is_kept(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    odd.odd.rotate, odd.odd.repeat_refresh_token, odd.odd.expires_in = False, False, None
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family, lifetime=7_200_000)
    new = await fresh(refresher, grant, hub(odd))
    assert (await store.reveal(new)).refresh == family.refresh
    assert new.lifetime == 7_200_000
    assert new.expires is not None
    assert new.expires - store.now() > 7_000_000


async def test_slack_rotation_answers_flatly_or_nested(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    odd.odd.slack = True
    family = odd.issue("alice", "chat:write")
    slack = hub(odd, token_path="/authed_user", token_auth="client_secret_post")
    grant = await granted(store, family)
    assert (await store.reveal(await fresh(refresher, grant, slack))).access == family.access


class Flaky(Store):
    """A store whose database goes away for the next `away` writes, before or after it has committed them."""

    away = 0
    commits = False

    async def apply(self, unit: Unit) -> Applied | Stale:
        if self.away:
            self.away -= 1
            if self.commits:
                await super().apply(unit)
            raise StorageError("The database is away.")
        return await super().apply(unit)


@pytest.mark.parametrize("commits", [False, True])
async def test_a_database_that_is_away_does_not_lose_the_token(
    egress: Egress, odd: OddProvider, clock: Clock, tmp_path: Path, commits: bool
) -> None:
    store = await Flaky.open("sqlite:///jit.db", Vault([("k1", b"\1" * 32)]), clock=clock, base=tmp_path, serve=False)
    assert isinstance(store, Flaky)
    odd.gate = asyncio.Event()
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family)
    running = asyncio.create_task(fresh(Refresher(store, egress, pause=asyncio.sleep), grant, hub(odd)))
    await odd.reached.wait()
    store.away, store.commits = 1 if commits else 3, commits
    odd.gate.set()
    assert (await store.reveal(await running)).access == family.access
    assert odd.counts["refresh_token"] == 1
    await store.close()


async def test_a_database_that_stays_away_is_said_to_be(
    egress: Egress, odd: OddProvider, clock: Clock, tmp_path: Path
) -> None:
    store = await Flaky.open("sqlite:///jit.db", Vault([("k1", b"\1" * 32)]), clock=clock, base=tmp_path, serve=False)
    assert isinstance(store, Flaky)
    odd.gate = asyncio.Event()
    grant = await granted(store, odd.issue("alice", "mail.read"))

    async def pause(_seconds: float) -> None:
        clock.offset += 10_000

    running = asyncio.create_task(fresh(Refresher(store, egress, pause=pause), grant, hub(odd)))
    await odd.reached.wait()
    store.away = 1000
    odd.gate.set()
    with pytest.raises(StorageError):
        await running
    await store.close()


async def test_a_separate_refresh_url(refresher: Refresher, store: Store, odd: OddProvider) -> None:
    grant = await granted(store, odd.issue("alice", "mail.read"))
    await fresh(refresher, grant, hub(odd, refresh_url=odd.url + "/refresh"))
    assert (odd.counts["/as/refresh"], odd.counts["/as/token"]) == (1, 0)


async def test_a_caller_that_gives_up_does_not_lose_the_token(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    odd.gate = asyncio.Event()
    family = odd.issue("alice", "mail.read")
    grant = await granted(store, family)
    running = asyncio.create_task(fresh(refresher, grant, hub(odd)))
    await odd.reached.wait()
    running.cancel()
    odd.gate.set()
    await refresher.close()
    assert running.cancelled()
    assert await access(store) == family.access


async def test_a_token_that_cannot_be_opened_claims_nothing(
    refresher: Refresher, store: Store, odd: OddProvider
) -> None:
    grant = await granted(store, odd.issue("alice", "mail.read"))
    await write(store, Change(grant, {"token": None}))
    with pytest.raises(VaultError):
        await fresh(refresher, grant, hub(odd))
    assert (await row(store)).refresher is None
    assert odd.counts == {}
