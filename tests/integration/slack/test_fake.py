"""The fake Slack refuses, limits and fails as Slack does, towards slack-sdk's own clients."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import Clock, SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from tests.fakes.serving import serving
from tests.fakes.slack import Slack
from tests.integration.slack.test_fake_blocks import ASK, MODAL, button, plain, rich, section

NOW = 1764064800.0
ANA = "U012ANA"


class Time:
    """A clock that stands until it is moved."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
async def slack(clock: Time) -> AsyncIterator[Slack]:
    async with Slack(clock=clock).running() as slack:
        yield slack


@pytest.fixture
def client(slack: Slack) -> AsyncWebClient:
    return AsyncWebClient("xoxb-bot", base_url=f"{slack.url}/api/", retry_handlers=[])


async def refused(call: Any) -> Any:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response


async def test_tokens_methods_and_the_bot(slack: Slack, client: AsyncWebClient) -> None:
    who = await client.auth_test()
    assert (who["team_id"], who["user_id"]) == ("T012", "U0BOT")
    assert (await refused(client.auth_test(token="xoxb-other")))["error"] == "invalid_auth"
    assert (await refused(client.auth_test(token="xapp-app")))["error"] == "not_allowed_token_type"
    assert (await refused(client.apps_connections_open(app_token="xoxb-bot")))["error"] == "not_allowed_token_type"
    assert (await refused(client.api_call("chat.shout")))["error"] == "unknown_method"
    assert (await client.users_info(user=ANA))["user"]["name"] == "ana"
    assert (await refused(client.users_info(user="U9")))["error"] == "user_not_found"
    assert slack.calls[-1] == ("users.info", {"user": "U9"})


async def test_channels(slack: Slack, client: AsyncWebClient) -> None:
    slack.other_channels.add("C013")
    assert (await refused(client.chat_postMessage(channel="C013", text="a")))["error"] == "not_in_channel"
    assert (await refused(client.chat_postMessage(channel="C999", text="a")))["error"] == "channel_not_found"
    assert (await refused(client.api_call("chat.postMessage", json={"channel": "C012"})))["error"] == "no_text"
    assert (await refused(client.chat_postMessage(channel="C012", text="a" * 40_001)))["error"] == "msg_too_long"
    assert (await refused(client.conversations_open(users="U9")))["error"] == "user_not_found"
    opened = await client.conversations_open(users=ANA)
    posted = await client.chat_postMessage(channel=opened["channel"]["id"], text="a")
    assert (await client.chat_postMessage(channel=ANA, text="b"))["channel"] == posted["channel"] == "D012ANA"
    await client.chat_postEphemeral(channel="C012", user=ANA, text="only you")
    assert slack.messages[-1].only_for == ANA
    assert (await client.conversations_history(channel="C012"))["messages"] == []


async def test_a_message_lives(slack: Slack, client: AsyncWebClient) -> None:
    metadata = {"event_type": "jit", "event_payload": {"id": "r1"}}
    posted = await client.chat_postMessage(channel="C012", text="Pay?", blocks=ASK, metadata=metadata)
    assert posted["ts"] == "1764064800.000000"
    await client.chat_update(channel="C012", ts=posted["ts"], text="Paid")
    (message,) = slack.messages
    assert (message.text, message.updates[0].text, len(message.updates)) == ("Paid", "Pay?", 1)
    assert [each["action_id"] for each in slack.buttons(message)] == ["approve", "deny", "look"]
    assert message.metadata == metadata
    assert "*Pay* 10 EUR?" in message.plain
    assert "Look at it" in message.plain
    answer = await refused(client.chat_update(channel="C012", ts="1764064800.000099", text="a"))
    assert answer["error"] == "message_not_found"
    other = slack.say("C012", "I approve")
    assert (await refused(client.chat_update(channel="C012", ts=other.ts, text="a")))["error"] == "cant_update_message"
    # Blocks as a string of JSON in a form.
    form = {"channel": "C012", "ts": posted["ts"], "text": "Gone", "blocks": json.dumps([section("x")])}
    await client.api_call("chat.update", data=form)
    assert message.plain == "Gone\nx"


async def test_history(slack: Slack, client: AsyncWebClient, clock: Time) -> None:
    metadata = {"event_type": "jit", "event_payload": {"id": "r1"}}
    first = (await client.chat_postMessage(channel="C012", text="first", metadata=metadata))["ts"]
    for number in range(4):
        clock.now += 1
        await client.chat_postMessage(channel="C012", text=str(number))
    await client.chat_postMessage(channel="C012", text="reply", thread_ts=first)

    async def texts(**arguments: Any) -> list[str]:
        found: list[str] = []
        async for page in await client.conversations_history(channel="C012", **arguments):
            found += [each["text"] for each in page["messages"]]
        return found

    assert await texts(limit=2) == ["3", "2", "1", "0", "first"]
    assert slack.count("conversations.history") == 3
    assert await texts(oldest=first) == ["3", "2", "1", "0"]
    assert await texts(oldest=first, latest="1764064801.000000", inclusive=True) == ["0", "first"]
    bare = await client.conversations_history(channel="C012")
    assert "metadata" not in bare["messages"][-1]
    full = await client.conversations_history(channel="C012", include_all_metadata=True)
    assert full["messages"][-1]["metadata"] == metadata
    thread = await client.conversations_replies(channel="C012", ts=first)
    assert [each["text"] for each in thread["messages"]] == ["first", "reply"]
    assert (await refused(client.conversations_replies(channel="C012", ts="1.0")))["error"] == "thread_not_found"


async def test_what_is_wrong_with_blocks_is_said(slack: Slack, client: AsyncWebClient) -> None:
    answer = await refused(client.chat_postMessage(channel="C012", text="a", blocks=[section("a" * 3001)]))
    assert answer["error"] == "invalid_blocks"
    assert answer["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]
    answer = await refused(client.chat_postMessage(channel="C012", text="a", metadata={"event_type": "a"}))
    assert answer["error"] == "invalid_metadata_format"
    answer = await refused(client.chat_postMessage(channel="C012", text="a", blocks=[section("a" * 3000)] * 5))
    assert answer["error"] == "msg_blocks_too_long"
    assert slack.messages == []
    good = [rich({"type": "text", "text": "a", "style": {"bold": True}}, {"type": "link", "url": "https://a.example"})]
    await client.chat_postMessage(channel="C012", text="a", blocks=[*good, {"type": "divider"}])
    assert slack.messages[0].plain == "a\na\nhttps://a.example"


async def test_faults(slack: Slack, client: AsyncWebClient) -> None:
    def post() -> Any:
        return client.chat_postMessage(channel="C012", text="a")

    slack.fail("chat.postMessage", "ratelimited", "fatal_error", 503, "refused", "lost", "hang")
    limited = await refused(post())
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "1")
    assert (await refused(post()))["error"] == "fatal_error"
    assert (await refused(post())).status_code == 503
    with pytest.raises(aiohttp.ClientError):
        await post()
    assert slack.messages == []
    with pytest.raises(aiohttp.ClientError):
        await post()
    assert len(slack.messages) == 1
    hanging = asyncio.create_task(post())
    await slack.until(lambda slack: slack.count("chat.postMessage") == 6)
    assert len(slack.messages) == 1
    slack.release()
    assert (await hanging)["ok"]
    slack.down = True
    with pytest.raises(aiohttp.ClientError):
        await post()
    slack.down = False
    await post()
    assert (len(slack.messages), slack.count("chat.postMessage")) == (3, 7)


async def test_a_call_that_hangs_does_not_keep_the_server(client: AsyncWebClient, slack: Slack) -> None:
    slack.fail("auth.test", "hang")
    hanging = asyncio.create_task(client.auth_test())
    await slack.until(lambda slack: slack.calls)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


@asynccontextmanager
async def app(answer: Any = None) -> AsyncIterator[tuple[str, list[tuple[bytes, dict[str, str]]]]]:
    """An app that takes interactions by HTTP, and answers all of them so."""
    took: list[tuple[bytes, dict[str, str]]] = []

    async def take(request: web.Request) -> web.Response:
        took.append((await request.read(), dict(request.headers)))
        return web.Response() if answer is None else web.json_response(answer)

    served = web.Application()
    served.router.add_post("/slack", take)
    async with serving(served) as url:
        yield f"{url}/slack", took


class At(Clock):
    def now(self) -> float:
        return NOW


async def test_a_click_by_http(slack: Slack, client: AsyncWebClient) -> None:
    metadata = {"event_type": "jit", "event_payload": {"id": "r1"}}
    await client.chat_postMessage(channel="C012", text="Pay?", blocks=ASK, metadata=metadata)
    async with app() as (url, took):
        answer = await slack.click(slack.messages[0], "Approve", url=url)
        assert (answer.status, answer.body, answer.trouble) == (200, "", "")
        assert answer.seconds < 3
        body, headers = took[0]
        verifier = SignatureVerifier("signing-secret", clock=At())
        assert verifier.is_valid_request(body, headers)
        assert not verifier.is_valid_request(body, {**headers, **slack.signed(body, secret="other")})
        assert not verifier.is_valid_request(body, {**headers, **slack.signed(body, at=int(NOW) - 301)})
        payload = json.loads(parse_qs(body.decode())["payload"][0])
        assert payload["actions"][0].items() >= {"action_id": "approve", "block_id": "decide", "value": "r1"}.items()
        assert (payload["user"]["id"], payload["message"]["metadata"]) == (ANA, metadata)
        forged = slack.payload_for_click(slack.messages[0], "look", user="U9", team="T9", api_app_id="A9")
        assert (forged["user"]["id"], forged["team"]["id"], forged["api_app_id"]) == ("U9", "T9", "A9")
        assert forged["actions"][0]["url"] == "https://jit.example/r1"
    # Nobody listens there any more.
    gone = await slack.click(slack.messages[0], "deny", url=url)
    assert gone.status == 0
    assert gone.trouble.startswith("not acknowledged")


async def test_a_click_that_is_not_acknowledged_in_time(slack: Slack, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel="C012", text="Pay?", blocks=[section("a", accessory=button("Go"))])
    slack.patience = 0.05

    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    served = web.Application()
    served.router.add_post("/slack", never)
    async with serving(served) as url:
        answer = await slack.click(slack.messages[0], "Go", url=f"{url}/slack")
    assert (answer.status, bool(answer.trouble)) == (0, True)


async def test_a_late_click_on_an_earlier_state(slack: Slack, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel="C012", text="Pay?", blocks=ASK)
    await client.chat_update(channel="C012", ts=posted["ts"], text="Paid", blocks=[section("Paid")])
    (message,) = slack.messages
    with pytest.raises(AssertionError):
        slack.payload_for_click(message, "approve")
    payload = slack.payload_for_click(message.updates[0], "approve")
    assert payload["container"]["message_ts"] == message.ts
    await AsyncWebhookClient(payload["response_url"]).send(text="Too late")
    assert message.text == "Too late"


async def test_response_urls(slack: Slack, client: AsyncWebClient, clock: Time) -> None:
    await client.chat_postMessage(channel="C012", text="Pay?", blocks=ASK)
    (message,) = slack.messages
    hook = AsyncWebhookClient(slack.payload_for_click(message, "deny")["response_url"])
    assert (await hook.send(text="only you", replace_original=False)).status_code == 200
    assert (slack.messages[1].only_for, message.text) == (ANA, "Pay?")
    assert (await hook.send(text="all", response_type="in_channel", replace_original=False)).status_code == 200
    assert slack.messages[2].only_for is None
    assert (await hook.send(text="Denied", replace_original=True)).status_code == 200
    assert (message.text, message.blocks) == ("Denied", [])
    assert (await hook.send(text="a", blocks=[section("")])).status_code == 400
    for _ in range(2):
        await hook.send(text="a", replace_original=False)
    used = await hook.send(text="a")
    assert (used.status_code, json.loads(used.body)["error"]) == (404, "used_url")
    late = AsyncWebhookClient(slack.payload_for_click(message.updates[0], "deny")["response_url"])
    clock.now += 1801
    assert json.loads((await late.send(text="a")).body)["error"] == "expired_url"


async def test_a_modal(slack: Slack, client: AsyncWebClient, clock: Time) -> None:
    await client.chat_postMessage(channel="C012", text="Pay?", blocks=ASK)

    def trigger() -> str:
        found: str = slack.payload_for_click(slack.messages[0], "deny")["trigger_id"]
        return found

    late, used = trigger(), trigger()
    clock.now += 2
    too_long = await refused(client.views_open(trigger_id=used, view={**MODAL, "title": plain("a" * 25)}))
    assert too_long["response_metadata"]["messages"] == [
        "[ERROR] must be less than 25 characters [json-pointer:/view/title/text]"
    ]
    opened = await client.views_open(trigger_id=used, view=MODAL)
    assert (await refused(client.views_open(trigger_id=used, view=MODAL)))["error"] == "exchanged_trigger_id"
    clock.now += 2
    assert (await refused(client.views_open(trigger_id=late, view=MODAL)))["error"] == "expired_trigger_id"
    assert (await refused(client.views_open(trigger_id="x", view=MODAL)))["error"] == "invalid_trigger_id"
    (view,) = slack.views
    assert view.id == opened["view"]["id"]
    again = copy.deepcopy(MODAL) | {"private_metadata": "r2"}
    await client.views_update(view_id=view.id, view=again)
    assert (await refused(client.views_update(view_id=view.id, view=again, hash="x")))["error"] == "hash_conflict"

    values = {("why", "text"): "no", ("how", "pick"): "once"}
    async with app({"response_action": "errors", "errors": {"why": "Say more."}}) as (url, took):
        assert not (await slack.submit(view, values, url=url)).trouble
        assert (view.open, view.errors) == (True, {"why": "Say more."})
        told = json.loads(parse_qs(took[0][0].decode())["payload"][0])["view"]
        assert told["state"]["values"]["why"] == {"text": {"type": "plain_text_input", "value": "no"}}
        assert told["state"]["values"]["how"]["pick"]["selected_option"]["value"] == "once"
        assert told["private_metadata"] == "r2"
        for wrong in (
            {},
            {("why", "text"): "a" * 11},
            {**values, ("how", "pick"): "never"},
            {**values, ("x", "y"): ""},
        ):
            with pytest.raises(AssertionError):
                await slack.submit(view, wrong, url=url)
    async with app({"response_action": "errors", "errors": {"nowhere": "?"}}) as (url, _):
        assert "nowhere" in (await slack.submit(view, values, url=url)).trouble
    async with app() as (url, _):
        assert not (await slack.submit(view, values, url=url)).trouble
        assert not view.open


@asynccontextmanager
async def linked(slack: Slack) -> AsyncIterator[tuple[SocketModeClient, list[SocketModeRequest]]]:
    """A Socket Mode client that acknowledges everything."""
    web_client = AsyncWebClient(base_url=f"{slack.url}/api/", retry_handlers=[])
    client = SocketModeClient("xapp-app", web_client=web_client, ping_interval=0.05)
    took: list[SocketModeRequest] = []

    async def take(_: Any, request: SocketModeRequest) -> None:
        took.append(request)
        await client.send_socket_mode_response(SocketModeResponse(request.envelope_id, {"text": "seen"}))

    client.socket_mode_request_listeners.append(take)
    await client.connect()  # type: ignore[no-untyped-call]  # the SDK says nothing of it
    await slack.until(lambda slack: slack.sockets)
    try:
        yield client, took
    finally:
        await client.close()  # type: ignore[no-untyped-call]  # the SDK says nothing of it


async def test_a_click_over_socket_mode(slack: Slack, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel="C012", text="Pay?", blocks=ASK)
    with pytest.raises(AssertionError):
        await slack.click(slack.messages[0], "approve")
    async with linked(slack) as (_, took):
        answer = await slack.click(slack.messages[0], "approve")
        assert (answer.status, answer.json) == (200, {"text": "seen"})
        assert took[0].payload["actions"][0]["action_id"] == "approve"


@pytest.mark.parametrize("say", [True, False])
async def test_a_dropped_socket_comes_again(slack: Slack, client: AsyncWebClient, say: bool) -> None:
    await client.chat_postMessage(channel="C012", text="Pay?", blocks=ASK)
    async with linked(slack) as (_, took):
        before = slack.sockets[0]
        await slack.drop_sockets(say=say)
        await slack.until(lambda slack: slack.sockets and slack.sockets[0] is not before)
        assert slack.count("apps.connections.open") == 2
        assert (await slack.click(slack.messages[0], "approve")).status == 200
        assert len(took) == 1


async def test_a_ticket_is_good_once(slack: Slack) -> None:
    web_client = AsyncWebClient(base_url=f"{slack.url}/api/", retry_handlers=[])
    url = (await web_client.apps_connections_open(app_token="xapp-app"))["url"]
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as socket:
            assert (await socket.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)
