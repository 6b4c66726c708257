"""What every kind of credential keeps to: where it goes, that nothing else changes, that nothing of it comes back."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jit_auth.catalog.kinds import COMMON
from jit_auth.config.provider import ClientTable, SharedProviderTable
from jit_auth.core.request import forbidden
from jit_auth.credentials import KINDS, Kind
from jit_auth.egress.address import parse
from jit_auth.egress.request import Writer
from jit_auth.errors import Misconfigured
from jit_auth.model import Action, Inject, Provider, Reply, Request, Token
from jit_auth.send.reply import reduce
from jit_auth.send.shapes import REMOVED

WORD = "n3Ver-S/een+again="
REQUEST = Request("POST", "https://api.example/a%2Fb?x=%2e%2e&y", (("accept", "application/json"),), b'{"a":1}')
ACTION = Action(
    name="own.do", connector="own", provider="own", title="Do", summary="Do", show=(), method="POST", path="/a",
    risk="low", effect="create", retry="never",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A provider of one kind, with its credential."""

    provider: Provider
    token: Token | None = None
    secrets: tuple[str, ...] = (WORD,)
    """What nobody may ever see."""

    @property
    def kind(self) -> Kind:
        return KINDS[self.provider.kind]

    def sent(self) -> Request:
        return self.kind.apply(self.provider, REQUEST, self.kind.open(self.provider, self.token), 0)

    def traces(self) -> tuple[bytes, ...]:
        return self.kind.traces(self.kind.open(self.provider, self.token))


def own(kind: str, **fields: Any) -> Provider:
    return Provider(id="own", kind=kind, hosts=("api.example",), **fields)


TOKEN = Token(access=WORD, refresh="r3fresh-" + WORD)
PAIR = b64encode(f"jit-auth:{WORD}".encode()).decode()
SAMPLES = {
    "oauth2": Sample(own("oauth2"), TOKEN, (WORD, TOKEN.refresh or "")),
    "oauth2 header": Sample(own("oauth2", inject=Inject(header="X-Shop-Token", value="{token}")), TOKEN),
    "oauth2 query": Sample(own("oauth2", inject=Inject(query="access token")), TOKEN),
    "api_key": Sample(own("api_key", secret=WORD)),
    "api_key header": Sample(own("api_key", secret=WORD, inject=Inject(header="X-Api-Key"))),
    "api_key value": Sample(own("api_key", secret=WORD, inject=Inject(header="Authorization", value="Key {secret}"))),
    "api_key query": Sample(own("api_key", secret=WORD, inject=Inject(query="key"))),
    "basic": Sample(own("basic", secret=WORD, username="jit-auth"), secrets=(WORD, PAIR, f"jit-auth:{WORD}")),
    "basic utf-8": Sample(own("basic", secret="pä:ss wörd", username="ü"), secrets=("pä:ss wörd",)),
    "none": Sample(own("none"), secrets=()),
}
every = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
held = pytest.mark.parametrize(
    "sample", [s for s in SAMPLES.values() if s.secrets], ids=[n for n in SAMPLES if n != "none"]
)


def test_every_kind_is_here() -> None:
    assert {sample.provider.kind for sample in SAMPLES.values()} == set(KINDS)
    keys = {field.name for table in (ClientTable, SharedProviderTable) for field in msgspec.structs.fields(table)}
    assert keys == COMMON.union(*(kind.keys for kind in KINDS.values()))


@every
def test_it_fills_its_places_and_nothing_else(sample: Sample) -> None:
    sent = sample.sent()
    assert (sent.method, sent.body) == (REQUEST.method, REQUEST.body)
    assert sent.headers[: len(REQUEST.headers)] == REQUEST.headers
    assert sent.url.startswith(REQUEST.url)
    added = {("header", name) for name, _ in sent.headers[len(REQUEST.headers) :]}
    if more := sent.url[len(REQUEST.url) :]:
        assert more.startswith("&")
        added.add(("query", more[1:].split("=")[0]))
    places = sample.kind.adds(sample.provider)
    assert added == {(place.where, quote(place.name, safe="") if place.where == "query" else place.name)
                     for place in places}  # fmt: skip
    assert sample.sent() == sent
    assert Writer().write(sent, parse(sent.url)).count(b"\r\n") == len(sent.headers) + 5


@held
def test_a_place_that_is_taken_is_refused_and_its_name_forbidden(sample: Sample) -> None:
    secret = sample.kind.open(sample.provider, sample.token)
    for place in sample.kind.adds(sample.provider):
        assert forbidden(place.name, place.where, sample.provider.inject)
        assert forbidden(place.name.upper(), place.where, sample.provider.inject)
        taken = replace_place(place.where, place.name)
        with pytest.raises(Misconfigured) as refused:
            sample.kind.apply(sample.provider, taken, secret, 0)
        assert not any(word in f"{refused.value}{refused.value.hint}" for word in sample.secrets)


def replace_place(where: str, name: str) -> Request:
    if where == "header":
        return Request("GET", "https://api.example/", ((name.title(), "theirs"),))
    return Request("GET", f"https://api.example/?{quote(name, safe='')}=theirs")


@held
def test_without_a_credential_it_is_refused(sample: Sample) -> None:
    bare = msgspec.structs.replace(sample.provider, secret=None, username=None)
    with pytest.raises(Misconfigured):
        sample.kind.open(bare, None)
    if sample.provider.secret:
        with pytest.raises(Misconfigured, match="no credential") as refused:
            sample.kind.open(msgspec.structs.replace(bare, username=sample.provider.username, secret=""), None)
        assert "[providers.own]" in refused.value.hint


@held
def test_it_never_prints(sample: Sample) -> None:
    secret = sample.kind.open(sample.provider, sample.token)
    told = f"{secret!r}{secret}{sample.provider!r}{sample.provider}{sample.token!r}"
    assert not any(word in told for word in sample.secrets)


def echoes(sent: Request) -> list[tuple[str, bytes]]:
    """What a careless server says of a request: as it is, and coded once."""
    raw = "\n".join([sent.url, *(f"{name}: {value}" for name, value in sent.headers)])
    values = [value for _, value in sent.headers] + [sent.url, raw]
    forms = [*values, *(value.split(" ")[-1] for value in values)]
    forms += [coded for value in tuple(forms) for coded in (
        b64encode(value.encode()).decode(), urlsafe_b64encode(b"x" + value.encode()).decode(), quote(value, safe=""),
        value.encode().hex())]  # fmt: skip
    return [
        ("application/json", msgspec.json.encode({"said": forms, raw: raw})),
        ("text/plain", "\n".join(forms).encode()),
        ("application/octet-stream", "\0".join(forms).encode()),
    ]


def seen(sample: Sample, sent: Request) -> str:
    """All of what an agent gets to see of such answers, decoded as far as anybody would."""
    found = []
    for media, body in echoes(sent):
        headers = (("content-type", media), ("x-request-id", sent.headers[-1][1]), ("link", f"<{sent.url}>"))
        result = reduce(Reply(200, headers, body, False), ACTION, sample.traces())
        found.append(repr(result))
        if isinstance(result.body, dict) and "base64" in result.body:
            found.append(
                msgspec.json.decode(b'"' + result.body["base64"].encode() + b'"', type=bytes).decode("latin-1")
            )
    return "\n".join(found)


@held
def test_nothing_of_it_comes_back(sample: Sample) -> None:
    told = seen(sample, sample.sent())
    for word in sample.secrets:
        if word.encode() in sample.traces():
            for form in (
                word,
                quote(word, safe=""),
                b64encode(word.encode()).decode().rstrip("="),
                word.encode().hex(),
            ):
                assert form not in told
    assert REMOVED in told


def judged(provider: Provider) -> list[tuple[tuple[str, ...], str]]:
    """What its kind finds wrong with a provider."""
    faults: list[tuple[tuple[str, ...], str]] = []
    KINDS[provider.kind].judge(provider, lambda path, message: faults.append((path, message)))
    return faults


PLACES = (Inject(header="Authorization"), Inject(header="X-Api-Key"), Inject(query="key"))
ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


@given(secret=st.text(ASCII, min_size=6, max_size=40), where=st.sampled_from(PLACES))
def test_no_key_comes_back_whatever_it_is(secret: str, where: Inject) -> None:
    assume(secret == secret.strip() and secret not in REMOVED and any(map(str.isalnum, secret)))
    for sample in (
        Sample(own("api_key", secret=secret, inject=where)),
        Sample(own("basic", secret=secret, username="jit-auth")),
    ):
        assert judged(sample.provider) == []
        result = reduce(
            Reply(200, (("content-type", "text/plain"),), f"<{secret}>\n{sample.sent()}".encode(), False),
            ACTION,
            sample.traces(),
        )
        assert secret not in result.body


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if "secret" in kind.keys])
@pytest.mark.parametrize("secret", ["short", "a\r\nX-Admin: yes", "\x00" * 8, "x" * 8193])
def test_a_secret_that_could_not_be_kept_is_a_fault_that_does_not_tell_it(kind: str, secret: str) -> None:
    faults = judged(own(kind, secret=secret, username="jit-auth"))
    assert {path for path, _ in faults} == {("secret",)}
    assert not any(secret in message for _, message in faults)


@every
def test_where_a_credential_goes_does_not_depend_on_it(sample: Sample) -> None:
    other = msgspec.structs.replace(sample.provider, secret="another-one")
    assert sample.kind.adds(other) == sample.kind.adds(sample.provider)


@every
def test_only_what_users_connect_is_ever_refreshed(sample: Sample) -> None:
    assert not sample.kind.due(None, 10**15)
    assert sample.kind.connects is ("client_id" in sample.kind.keys)
    assert not replace(sample, token=None).kind.due(None, 0)
