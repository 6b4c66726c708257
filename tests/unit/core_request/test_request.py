"""The request that leaves: built from parameters that can fill places, and never make or move one."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from jit_auth import __version__
from jit_auth.core.ids import derived_key
from jit_auth.core.request import Build, forbidden, prepare
from jit_auth.core.target import host_allowed
from jit_auth.errors import Unprocessable
from jit_auth.model import Action, Connector, Inject, Param, Provider, Request

ID = "exe_01m3250v00xfpwb29eqsbp6a3f"
USER_AGENT = ("User-Agent", f"jit_auth/{__version__}")
ACCEPT = ("Accept", "application/json")


def build(
    path: str,
    params: dict[str, str],
    *,
    method: str = "POST",
    base_url: str = "https://api.x.example/v1",
    hosts: tuple[str, ...] = ("api.x.example",),
    retry: str = "never",
    inject: Inject | None = None,
    integers: tuple[str, ...] = (),
) -> Build:
    """An action's build; `params` maps names to places."""
    provider = Provider(id="x", hosts=hosts, inject=inject or Inject(header="Authorization"))
    action = Action(
        name="x.a",
        connector="x",
        provider="x",
        title="t",
        summary="t",
        show=(),
        method=method,
        path=path,
        risk="low",
        effect="create",
        retry=retry,
        params=tuple(
            Param(name=name, schema={}, where=where, integer=name in integers)  # type: ignore[arg-type]  # test data
            for name, where in params.items()
        ),
    )
    return prepare(Connector(id="x", name="X", provider=provider, actions=(action,), base_url=base_url), action)


def send(made: Build, params: dict[str, Any], account: dict[str, str] | None = None) -> Request:
    return made(params, account or {}, ID, 0)


def test_a_json_post_is_the_bytes_that_are_hashed() -> None:
    params = {"subject": "hi", "to": ["a@b.example"], "n": 1.0}
    request = send(build("/messages", {"to": "body", "subject": "body", "n": "body"}), params)
    assert request == Request(
        "POST",
        "https://api.x.example/v1/messages",
        (USER_AGENT, ACCEPT, ("Content-Type", "application/json")),
        b'{"n":1,"subject":"hi","to":["a@b.example"]}',
    )


def test_parameters_go_to_their_places() -> None:
    made = build(
        "/u/{id}/m",
        {"id": "path", "q": "query", "labels": "query", "If-Match": "header", "body": "body", "off": "query"},
    )
    params = {"id": "a b/c", "q": "x&y=ü", "labels": ["1", "2"], "If-Match": '"e"', "body": "t", "off": None}
    request = send(made, params)
    assert request.url == "https://api.x.example/v1/u/a%20b%2Fc/m?q=x%26y%3D%C3%BC&labels=1&labels=2"
    assert ("If-Match", '"e"') in request.headers
    assert request.body == b'{"body":"t"}'


def test_scalars_have_one_writing() -> None:
    made = build("/m/{n}", {"n": "path", "b": "query", "f": "query", "X-N": "header"}, method="GET")
    request = send(made, {"n": 12, "b": True, "f": 1e21, "X-N": False})
    assert request.url == "https://api.x.example/v1/m/12?b=true&f=1e%2B21"
    assert ("X-N", "false") in request.headers


def test_no_body_and_no_content_type_where_no_parameter_goes_there() -> None:
    request = send(build("/m", {}), {})
    assert request.body == b""
    assert request.headers == (USER_AGENT, ACCEPT)


def test_an_empty_body_is_an_object_where_parameters_could_go_there() -> None:
    assert send(build("/m", {"a": "body"}), {}).body == b"{}"


def test_an_accept_parameter_takes_the_place_of_ours() -> None:
    request = send(build("/m", {"accept": "header"}, method="GET"), {"accept": "application/vnd.x+json"})
    assert [name for name, _ in request.headers if name.lower() == "accept"] == ["accept"]


def test_the_idempotency_header_derives_from_the_execution() -> None:
    made = build("/m", {"a": "body"}, retry="key:Idempotency-Key")
    first, again = made({"a": 1}, {}, ID, 0), made({"a": 2}, {}, ID, 99)
    assert first.headers[-1] == again.headers[-1] == ("Idempotency-Key", derived_key(ID))
    assert made({"a": 1}, {}, "exe_other", 0).headers[-1] != first.headers[-1]


def test_a_64_bit_integer_is_sent_as_its_digits() -> None:
    made = build("/m", {"id": "body", "z": "body", "a": "body"}, integers=("id",))
    request = send(made, {"id": "9223372036854775807", "z": "1", "a": [1.5]})
    assert request.body == b'{"a":[1.5],"id":9223372036854775807,"z":"1"}'
    assert send(made, {"a": "x"}).body == b'{"a":"x"}'


TEXT = st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=12) | st.text(
    alphabet="./\\%2eE25;:?#@&=[]{} \r\n\t~", max_size=12
)
SCALAR = TEXT | st.integers(-(2**53) + 1, 2**53 - 1) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
EVERYWHERE = build("/u/{id}/f/{name}.{ext}/x", {"id": "path", "name": "path", "ext": "path", "q": "query",
                                                "X-Note": "header", "b": "body"})  # fmt: skip


@given(SCALAR, TEXT, TEXT, SCALAR | st.lists(SCALAR, max_size=3), SCALAR, TEXT)
def test_no_parameter_changes_host_path_or_headers(
    first: Any, name: str, ext: str, query: Any, header: Any, body: str
) -> None:
    params = {"id": first, "name": name, "ext": ext, "q": query, "X-Note": header, "b": body}
    try:
        request = send(EVERYWHERE, params)
    except Unprocessable:
        return
    assert request.url.isascii()
    assert request.url.isprintable()
    assert " " not in request.url
    parts = urlsplit(request.url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.x.example", "")
    segments = parts.path.split("/")
    assert len(segments) == 7
    assert (segments[1], segments[2], segments[4], segments[6]) == ("v1", "u", "f", "x")
    for segment in segments[1:]:
        decoded = segment
        for _ in range(4):
            decoded = unquote(decoded)
            assert decoded.replace("\\", "/") not in ("", ".", "..")
            assert not {".", ".."} & set(decoded.replace("\\", "/").split("/"))
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    assert {key for key, _ in pairs} <= {"q"}
    if isinstance(query, str):
        assert pairs == [("q", query)]
    assert [key for key, _ in request.headers] == ["User-Agent", "Accept", "Content-Type", "X-Note"]
    for _, value in request.headers:
        assert value.isascii()
        assert value.isprintable()
        assert value == value.strip()
    assert request.body == rfc8785.dumps({"b": body})
    assert json.loads(request.body) == {"b": body}


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", "%2e", "%2E%2e", ".%2e", "%252e%252e", "%25252e%25252e", "a/../b", "..\\x", "../x", "x/..",
     "%2e%2e%2fadmin", "..;", "..;a=b/x", "a/./b", "%" + "25" * 9 + "2e"],
)  # fmt: skip
def test_dot_segments_are_refused_however_they_are_written(value: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        send(build("/messages/{id}", {"id": "path"}, method="DELETE"), {"id": value})
    assert refused.value.members["faults"] == [
        {"pointer": "/params/id", "message": 'is empty, or holds "." or ".." as a path segment'}
    ]


def test_two_halves_do_not_make_a_dot_segment() -> None:
    made = build("/x/{a}{b}", {"a": "path", "b": "path"})
    with pytest.raises(Unprocessable):
        send(made, {"a": "%2", "b": "e"})
    assert send(made, {"a": "a", "b": ".b"}).url.endswith("/x/a.b")
    with pytest.raises(Unprocessable):
        send(build("/x/.{a}", {"a": "path"}), {"a": "%2e%25"[:3]})


@pytest.mark.parametrize("value", [None, {}, [], ["a"], {"a": 1}])
def test_a_path_takes_one_value(value: Any) -> None:
    with pytest.raises(Unprocessable):
        send(build("/m/{id}", {"id": "path"}), {"id": value})


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\n", "\ta", " a", "a ", "", "ü", "\x7f", ["a"], {"a": 1}])
def test_header_values_are_visible_and_one_line(value: Any) -> None:
    with pytest.raises(Unprocessable):
        send(build("/m", {"X-A": "header"}), {"X-A": value})


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *[(name, "header") for name in (
            "Authorization", "AUTHORIZATION", "Host", "Cookie", "Set-Cookie", "Connection", "Keep-Alive", "TE",
            "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Type", "content-length", "Content_Type",
            "Proxy-Authorization", "Forwarded", "X-Forwarded-For", "X_Forwarded_Host", "X-HTTP-Method-Override",
            "X-Http-Method", "x_http_method", "X-Method-Override", "Accept-Encoding", "User-Agent", "a b", "a:", "",
            "X-Cred", "x-cred", "Key", "ü",
        )],
        ("x-cred", "query"), ("X-CRED", "body"), ("_method", "query"), ("_METHOD", "body"), ("access_token", "body"),
        ("access_token", "query"),
    ],
)  # fmt: skip
def test_names_that_no_parameter_may_have(name: str, where: str) -> None:
    inject = Inject(header="X-Cred")
    assert forbidden(name, where, inject, "key:Key")
    with pytest.raises(ValueError, match=r"x\.a: parameter"):
        build("/m", {name: where}, inject=inject, retry="key:Key")


@pytest.mark.parametrize(("name", "where"), [("api_key", "query"), ("API_KEY", "body")])
def test_the_query_parameter_of_a_credential_is_nobody_elses(name: str, where: str) -> None:
    with pytest.raises(ValueError, match="carries the credential"):
        build("/m", {name: where}, inject=Inject(query="api_key"))


@pytest.mark.parametrize(
    "path",
    ["m", "/m?x=1", "/m#x", "//evil.example/m", "/a//b", "/a/../b", "/a/./b", "/%2e%2e/b", "/a b", "/a/{nobody}",
     "/a\\b", "/ü", "/a/{}", "/%zz"],
)  # fmt: skip
def test_a_path_template_stands_as_it_is_written(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        build(path, {})


@pytest.mark.parametrize(
    "base_url",
    ["", "api.x.example", "ftp://api.x.example", "https://user@api.x.example", "https://api.x.example/?a",
     "https://api.x.example/#a", "https://api.x.example/..", "https://evil.example", "https://api.x.example.evil.example",
     "https://api.x.example\\@evil.example", "https://api_x.example", "https://{account.id}.x.example/{id}",
     "https://a-{account.id}.x.example", "https://{id}.x.example", "https://[::2]/", "https://api.x.example:x"],
)  # fmt: skip
def test_base_urls_that_are_none(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        build("/m", {}, base_url=base_url)


def test_base_urls_are_kept_as_written() -> None:
    assert send(build("/m", {}, base_url="https://API.x.example:8443/v1/"), {}).url == "https://api.x.example:8443/v1/m"
    assert send(build("/m", {}, base_url="http://[::1]:80", hosts=("::1",)), {}).url == "http://[::1]:80/m"


TEMPLATED = build("/m", {}, base_url="https://{account.site}.x.example/t/{account.id}", hosts=("*.x.example",))


def test_an_account_fills_one_label_and_one_segment() -> None:
    assert TEMPLATED.account_fields == {"site", "id"}
    request = send(TEMPLATED, {}, {"site": "Acme", "id": "a/b"})
    assert request.url == "https://acme.x.example/t/a%2Fb/m"
    assert TEMPLATED({}, None, ID, 0).url == "https://{account.site}.x.example/t/{account.id}/m"


@given(st.text(max_size=12) | st.text(alphabet="a.-/:@%\\?#é", max_size=12), st.text(alphabet="a./%2e\\;", max_size=8))
def test_an_account_never_leads_elsewhere(site: str, account: str) -> None:
    try:
        request = send(TEMPLATED, {}, {"site": site, "id": account})
    except Unprocessable:
        return
    parts = urlsplit(request.url)
    label, _, rest = parts.netloc.partition(".")
    assert rest == "x.example"
    assert label.replace("-", "").isalnum()
    assert label.isascii()
    assert len(parts.path.split("/")) == 4
    assert unquote(parts.path.split("/")[2]) not in ("", ".", "..")


@pytest.mark.parametrize("site", ["", "a.b", "a/b", "evil.example#", "-a", "x" * 64, "é"])
def test_an_account_that_is_no_label_is_refused(site: str) -> None:
    with pytest.raises(Unprocessable):
        send(TEMPLATED, {}, {"site": site, "id": "1"})
    with pytest.raises(Unprocessable):
        send(TEMPLATED, {}, {"id": "1"})


def test_a_whole_host_counts_only_where_hosts_lists_it() -> None:
    made = build("/m", {}, base_url="https://{account.host}", hosts=("*.x.example", "y.example"))
    assert send(made, {}, {"host": "eu.x.example"}).url == "https://eu.x.example/m"
    assert send(made, {}, {"host": "y.example"}).url == "https://y.example/m"
    for host in ("evil.example", "x.example", "x.example.evil.example", "eu.x.example:1", "y.example/", "@y.example"):
        with pytest.raises(Unprocessable):
            send(made, {}, {"host": host})


def test_hosts_are_compared_whole() -> None:
    hosts = ("api.x.example", "*.y.example")
    assert host_allowed("api.x.example", hosts)
    assert host_allowed("a.b.y.example", hosts)
    assert not any(
        host_allowed(host, hosts)
        for host in ("x.example", "y.example", "evily.example", "api.x.example.evil", "xapi.x.example", "")
    )
