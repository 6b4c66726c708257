"""Connectors are loaded whole or not at all, and each fault is named at its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jit_auth.catalog import match
from jit_auth.catalog.formats import describe
from jit_auth.core.toml import read
from jit_auth.credentials import KINDS
from jit_auth.errors import Faults
from tests.unit.catalog.kit import ACTION, HEAD, PROVIDER, faults, load_from, mailhub, write


def test_a_connector_becomes_actions(tmp_path: Path) -> None:
    catalog = mailhub(tmp_path)
    operation = catalog.actions["mailhub.send"]
    action = operation.action
    assert (action.name, action.connector, action.provider) == ("mailhub.send", "mailhub", "mailhub")
    assert (action.summary, action.show, action.retry, action.timeout) == ("Send", (), "never", 30_000)
    assert operation.provider.hosts == ("auth.mailhub.example", "api.mailhub.example")
    assert operation.provider.token_auth == "client_secret_basic"
    assert catalog.redirect_uri("mailhub") == "http://127.0.0.1:8080/oauth/callback/mailhub"
    assert operation.build is not None
    assert operation.build({}, {}, "exe_1", 0).url == "https://api.mailhub.example/v1/messages"


def test_every_field_of_an_action_is_kept(tmp_path: Path) -> None:
    action = """
[actions.find]
title = "Find"
summary = "Find {q} in {box}"
show = ["box", "q"]
method = "GET"
path = "/{box}/find"
scopes = ["mail.read"]
any_scopes = ["a", "b"]
risk = "critical"
effect = "read"
retry = "idempotent"
timeout = "1m30s"
expose_headers = ["X-Rate"]
secret_fields = ["token"]
unauthorized_is_unexecuted = true
params.box = { type = "string", required = true }
params.q = { type = "string", sensitive = false, as = "html" }
params.X-Trace = { type = "string", in = "header", sensitive = true }
"""
    made = mailhub(tmp_path, action=action).actions["mailhub.find"].action
    assert made.summary == "Find {q} in {box}"
    assert made.show == ("box", "q")
    assert (made.scopes, made.any_scopes) == (("mail.read",), ("a", "b"))
    assert (made.risk, made.effect, made.retry, made.timeout) == ("critical", "read", "idempotent", 90_000)
    assert (made.expose_headers, made.secret_fields) == (("x-rate",), ("token",))
    assert made.unauthorized_is_unexecuted
    box, query, trace = made.params
    assert (box.where, box.required) == ("path", True)
    assert (query.where, query.shown) == ("query", "html")
    assert (trace.where, trace.sensitive) == ("header", True)


@pytest.mark.parametrize(
    ("method", "place", "retry"),
    [("GET", "query", "safe"), ("HEAD", "query", "safe"), ("DELETE", "query", "never"), ("POST", "body", "never"),
     ("PUT", "body", "never"), ("PATCH", "body", "never")],
)  # fmt: skip
def test_defaults_follow_the_method(tmp_path: Path, method: str, place: str, retry: str) -> None:
    effect = "read" if retry == "safe" else "update"
    text = ACTION.replace("POST", method).replace('"create"', f'"{effect}"') + 'params.a = { type = "string" }\n'
    action = mailhub(tmp_path, action=text).actions["mailhub.send"].action
    assert (action.params[0].where, action.retry) == (place, retry)


HEADER = "{ in = 'header', type = 'string' }"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('title = "Send"\n', ""), "10: missing key 'title' in [actions.send]"),
        (('method = "POST"', 'method = "post"'), "12: mailhub.send: unknown method 'post' (did you mean 'POST'?)"),
        (('risk = "high"', 'risk = "hihg"'), "15: actions.send.risk: invalid enum value 'hihg'"),
        (
            ('scopes = ["mail.send"]\n', ""),
            "10: mailhub.send: missing key 'scopes' (or any_scopes); an empty list says",
        ),
        (('["mail.send"]', '["a b"]'), "14: mailhub.send: scopes: 'a b' is no scope (RFC 6749)"),
        (("risk", "run = 'engine'\nrisk"), "15: actions.send.run: invalid enum value 'engine'"),
        (("risk", "run = 'agent'\nrisk"), '12: mailhub.send: method: means nothing with run = "agent"'),
        (("risk", "run = 'agent'\nrisk"), "13: mailhub.send: path: means nothing"),
        (("risk", "run = 'agent'\nrisk"), "14: mailhub.send: scopes: means nothing"),
        (('method = "POST"\n', ""), "10: mailhub.send: missing key 'method'"),
        (('path = "/messages"\n', ""), "10: mailhub.send: missing key 'path'"),
        (("risk", "exposes = ['secret']\nrisk"), "15: actions.send.exposes"),
        (("risk", "exposes = 'private'\nrisk"), "15: actions.send.exposes"),
        (("risk", "reads = ['letters']\nrisk"), "15: actions.send.reads"),
        (("risk", "claim_timeout = '1m'\nrisk"), "15: mailhub.send: claim_timeout: means something only with run"),
        (("risk", "timeout = '2'\nrisk"), "15: mailhub.send: timeout: expected a duration"),
        (("risk", "timeout = '11m'\nrisk"), "15: mailhub.send: timeout: expected a duration"),
        (("risk", "retry = 'safe'\nrisk"), "15: mailhub.send: retry: safe is for effect read"),
        (("risk", "retry = 'sometimes'\nrisk"), "15: mailhub.send: retry: expected safe, idempotent, never or"),
        (("risk", "retry = 'key:'\nrisk"), "15: mailhub.send: retry: '' is no header name"),
        (("risk", "retry = 'key:Cookie'\nrisk"), "15: mailhub.send: retry: 'Cookie' is a header that no parameter"),
        (("risk", "expose_headers = ['Set-Cookie']\nrisk"), "15: mailhub.send: expose_headers: Set-Cookie is never"),
        (("risk", "summary = 'To {ot}'\nrisk"), "15: mailhub.send: summary: no parameter 'ot'"),
        (("risk", "show = ['x']\nrisk"), "15: mailhub.send: show: no parameter 'x'"),
        (("/messages", "/messages/../x"), "13: mailhub.send: path: '..' cannot stand in a URL's path as it is"),
        (("/messages", "/messages/{id}"), "13: mailhub.send: path: {id} names no parameter that goes to the path"),
        (("actions.send", 'actions."a.b"'), "10: mailhub.a.b: a name has letters"),
        (('"Send"', '""'), "11: mailhub.send: title: one line of 1 to 300"),
        (('"Send"', "'x" + "x" * 300 + "'"), "11: mailhub.send: title: one line of 1 to 300"),
        (('"Send"', '"a\\nb"'), "11: mailhub.send: title: one line of 1 to 300"),
        (("risk", f"params.X-A = {HEADER}\nparams.x-a = {HEADER}\nrisk"), "15: mailhub.send: two parameters go to one"),
    ],
)
def test_faults_of_an_action(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    assert [text for text in faults(tmp_path, action=ACTION.replace(*change, 1)) if text.startswith(told)]


@pytest.mark.parametrize(
    ("param", "told"),
    [
        ("a = { type = 'strin' }", "parameter 'a': unknown type 'strin' (did you mean 'string'?)"),
        ("a = { type = ['nmber', 'null'] }", "parameter 'a': unknown type 'nmber' (did you mean 'number'?)"),
        (
            "a = { type = 'string', maxlength = 3 }",
            "parameter 'a': unknown keyword 'maxlength' (did you mean 'maxLength'?)",
        ),
        ("a = { type = 'string', format = 'emial' }", "parameter 'a': unknown format 'emial' (did you mean 'email'?)"),
        ("a = { '$ref' = 'http://127.0.0.1:1/x' }", "parameter 'a': '$ref' is refused"),
        ("a = { type = 'object', properties = { b = { '$id' = 'x' } } }", "parameter 'a': '$id' is refused"),
        ("a = { type = 'string', pattern = '(?=a)' }", "parameter 'a': no usable JSON Schema"),
        ("a = { type = 'integer', default = 'x' }", "parameter 'a': the default does not fit its own schema"),
        (
            "a = { type = 'object', properties = { b = { type = 'string', default = 1 } } }",
            "parameter 'a': the default",
        ),
        ("a = { type = 'string', in = 'cookie' }", "parameter 'a': in: expected one of path, query, header, body"),
        ("a = { type = 'string', in = 'path' }", "parameter 'a': /messages has no place {a} for it"),
        ("a = { type = 'string', as = 'txet' }", "parameter 'a': as: expected one of text, html"),
        ("a = { type = 'string', sensitive = 1 }", "parameter 'a': required and sensitive are true or false"),
        ("a = { type = 'object', in = 'query' }", "parameter 'a': a query takes a single value or a list of them"),
        ("a = { in = 'query' }", "parameter 'a': a query takes a single value or a list of them"),
        (
            "a = { type = 'array', in = 'header', items = { type = 'string' } }",
            "parameter 'a': a header takes a single",
        ),
        ("a = { type = 'array', in = 'query', items = { type = 'object' } }", "parameter 'a': a query takes a single"),
        ("Authorization = { type = 'string', in = 'header' }", "parameter 'Authorization': is the name that carries"),
        ("X-Forwarded-For = { type = 'string', in = 'header' }", "parameter 'X-Forwarded-For': is a header that no"),
        ("_method = { type = 'string' }", "parameter '_method': can turn the request into another method"),
        ("'a b' = { type = 'string' }", "parameter 'a b': a name has letters"),
    ],
)
def test_faults_of_a_parameter(tmp_path: Path, param: str, told: str) -> None:
    found = faults(tmp_path, action=ACTION + "[actions.send.params]\n" + param)
    assert [text for text in found if text.startswith(f"18: mailhub.send: {told}")]


MAIL = (
    ACTION
    + """body = "rfc822-base64url"
[actions.send.params]
to = { type = "array", items = { type = "string", format = "email" }, required = true }
cc = { type = "string", format = "email" }
from = { type = "string", format = "email" }
subject = { type = "string" }
references = { type = "array", items = { type = "string" } }
text = { type = "string" }
threadId = { type = "string" }
"""
)


def test_an_action_can_have_a_message_as_its_body(tmp_path: Path) -> None:
    operation = mailhub(tmp_path, action=MAIL).actions["mailhub.send"]
    assert operation.action.body == "rfc822-base64url"
    params = operation.validate({"to": ["a@x.example"], "text": "t", "threadId": "1"})
    assert operation.build(params, {}, "exe_1", 0).body.startswith(b'{"raw":"VG86')
    assert mailhub(tmp_path).actions["mailhub.send"].action.body == "json"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("rfc822-base64url", "rfc822"), "17: actions.send.body: invalid enum value 'rfc822'"),
        (("body =", "boby ="), "17: unknown key 'boby' in [actions.send] (did you mean 'body'?)"),
        (("POST", "GET"), "17: mailhub.send: body: GET sends no message: expected POST, PUT, PATCH"),
        (("POST", "DELETE"), "17: mailhub.send: body: DELETE sends no message"),
        (("\nto =", "\ntwo ="), "17: mailhub.send: body: a message needs the parameter 'to'"),
        (("\ntext =", "\ntxet ="), "17: mailhub.send: body: a message needs the parameter 'text'"),
        (("threadId =", "raw ="), "25: mailhub.send: parameter 'raw': is where the message itself goes"),
        ((', format = "email" }, ', " }, "),
         "19: mailhub.send: parameter 'to': is one address or several: type string"),
        (('cc = { type = "string", format = "email" }', "cc = { type = 'object' }"),
         "20: mailhub.send: parameter 'cc': is one address or several"),
        (('from = { type = "string", format = "email" }',
          'from = { type = "array", items = { type = "string", format = "email" } }'),
         "21: mailhub.send: parameter 'from': is one address: type string, format email"),
        (('subject = { type = "string" }', 'subject = { enum = ["a"] }'),
         "22: mailhub.send: parameter 'subject': is text: type string"),
        (('subject = { type = "string" }', 'subject = { type = "string", in = "query" }'),
         "22: mailhub.send: parameter 'subject': is a part of the message, and goes to the body"),
        (('items = { type = "string" } }', 'items = { type = "integer" } }'),
         "23: mailhub.send: parameter 'references': is one Message-ID or several: type string"),
        (('\ntext = { type = "string"', '\ntext = { type = "integer", format = "int64"'),
         "24: mailhub.send: parameter 'text': is text: type string"),
    ],
)  # fmt: skip
def test_faults_of_an_action_whose_body_is_a_message(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    assert change[0] in MAIL
    assert [text for text in faults(tmp_path, action=MAIL.replace(*change, 1)) if text.startswith(told)]


def test_a_faulty_part_of_a_message_is_told_of_once(tmp_path: Path) -> None:
    (told,) = faults(tmp_path, action=MAIL.replace('to = { type = "array"', 'to = { type = "arry"'))
    assert told == "19: mailhub.send: parameter 'to': unknown type 'arry' (did you mean 'array'?)"


def test_a_path_parameter_is_there(tmp_path: Path) -> None:
    text = ACTION.replace("/messages", "/messages/{id}") + "params.id = { type = 'string', required = false }"
    assert "17: mailhub.send: parameter 'id': a parameter of the path is required, or has a default" in faults(
        tmp_path, action=text
    )


def test_a_path_parameter_need_not_say_that_it_is_required(tmp_path: Path) -> None:
    text = ACTION.replace("/messages", "/messages/{id}/{part}") + "params.id = { type = 'string' }\n"
    made = mailhub(tmp_path, action=text + "params.part = { type = 'string', default = 'all' }\n")
    assert [(param.name, param.required) for param in made.actions["mailhub.send"].action.params] == [
        ("id", True),
        ("part", False),
    ]


def test_an_action_of_a_long_name_has_a_short_tool_name(tmp_path: Path) -> None:
    long = "x" * 128
    (tool,) = mailhub(tmp_path, action=ACTION.replace("actions.send", f"actions.{long}")).tools
    assert len(tool) <= 64
    (told,) = faults(tmp_path, action=ACTION.replace("actions.send", f"actions.{long}y"))
    assert "at most 128" in told


def test_a_sensitive_parameter_is_in_no_summary(tmp_path: Path) -> None:
    text = ACTION + "summary = 'Say {body}'\nparams.body = { type = 'string', sensitive = true }"
    assert "sensitive and would stand in lists" in faults(tmp_path, action=text)[0]


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ("[provider]\nkind = 'service_account'\n", "6: unknown kind 'service_account'"),
        ("[provider]\nkind = 'client_credentials'\n", "6: unknown kind 'client_credentials'"),
        ("[provider]\nkind = 'mcp'\n", "6: unknown kind 'mcp'"),
        ("[provider]\nkind = 'oauth'\n", "6: unknown kind 'oauth' (did you mean 'oauth2'?)"),
        ("[provider]\n", "5: missing key 'authorize_url' (or issuer, whose metadata names it)"),
        ("[provider]\nkey_file = 'x'\n", "6: unknown key 'key_file' in [provider]"),
        ("[provider]\nclient_secret = 'x'\n", "6: unknown key 'client_secret' in [provider]"),
        (PROVIDER + "token_auth = 'basic'\n", "9: provider.token_auth: invalid enum value 'basic'"),
        (PROVIDER.replace("https://auth", "http://auth", 1), "7: authorize_url: https is required"),
        (PROVIDER + "hosts = ['*.com']\n", "9: hosts: '*.com' would take in"),
        (PROVIDER + "hosts = ['*.co.uk']\n", "9: hosts: '*.co.uk' would take in"),
        (PROVIDER + "hosts = ['*.github.io']\n", "9: hosts: '*.github.io' would take in"),
        (PROVIDER + "hosts = ['*']\n", "9: hosts: '*' is no host name"),
        (PROVIDER + "hosts = ['Auth.mailhub.example']\n", "9: hosts: 'Auth.mailhub.example' is no host name"),
        (
            PROVIDER + "hosts = ['api.mailhub.example']\n",
            "8: token_url: auth.mailhub.example is not among the provider's",
        ),
        (
            PROVIDER + "hosts = ['auth.mailhub.example']\n",
            "4: base_url: api.mailhub.example is not among the provider's",
        ),
        (PROVIDER + "inject = { header = 'A', query = 'b' }\n", "9: inject: a credential goes to one place"),
        (PROVIDER + "inject = { value = '{token}' }\n", "9: inject: a credential goes to one place"),
        (PROVIDER + "inject = { header = 'A', value = 'x' }\n", "9: inject: value holds {token} once"),
        (PROVIDER + "inject = { header = 'Host' }\n", "9: inject: 'Host' is not a place for a credential"),
        (PROVIDER + "authorize_params = { state = 'x' }\n", "9: authorize_params: state is set by the protocol itself"),
        (PROVIDER + "base_scopes = ['a b']\n", "9: 'a b' is no scope (RFC 6749)"),
        (PROVIDER + "account_id = 'sub'\n", "9: account_id: a JSON pointer begins with /"),
        (PROVIDER + "scope_separator = ''\n", "9: scope_separator: is empty"),
        ("provider = 'google'\n", "5: unknown provider 'google'"),
    ],
)
def test_faults_of_a_provider(tmp_path: Path, provider: str, told: str) -> None:
    assert [text for text in faults(tmp_path, provider=provider) if text.startswith(told)]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (HEAD.replace('"mailhub"', '"mail"'), "2: id 'mail' differs from the folder's name 'mailhub'"),
        (HEAD.replace("https", "http"), "4: base_url: https is required"),
        (HEAD.replace("https://", "https://user:pw@"), "4: base_url: a user in a URL is refused"),
        (HEAD.replace("api.", "{account.id}."), "4: base_url: {account.id}.mailhub.example can be none of"),
        (HEAD.replace("api.", "{account.site}."), "4: base_url"),
        (HEAD.replace("/v1", "/{account.site}"), "4: base_url: an account has no field 'site', only id and name"),
        (HEAD + "lables = 1\n", "5: unknown key 'lables'"),
        (HEAD.replace('base_url = "https://api.mailhub.example/v1"\n', ""), "1: missing key 'base_url'"),
    ],
)
def test_faults_of_a_connector(tmp_path: Path, head: str, told: str) -> None:
    assert [text for text in faults(tmp_path, head=head) if text.startswith(told)]


def test_an_account_can_stand_in_a_base_url(tmp_path: Path) -> None:
    head = HEAD.replace("api.mailhub.example/v1", "{account.id}.mailhub.example/{account.name}")
    catalog = mailhub(tmp_path, head=head, provider=PROVIDER + "hosts = ['*.mailhub.example']\n")
    build = catalog.actions["mailhub.send"].build
    assert build.account_fields == {"id", "name"}
    assert build({}, {"id": "a1", "name": "b c"}, "exe_1", 0).url == "https://a1.mailhub.example/b%20c/messages"


def test_plain_http_goes_to_allowed_private_hosts_alone(tmp_path: Path) -> None:
    head = HEAD.replace("https://api.mailhub.example", "http://127.0.0.1:9000")
    provider = "[provider]\nauthorize_url='http://localhost:9001/a'\ntoken_url='http://127.0.0.1:9001/t'\n"
    assert len(faults(tmp_path, head=head, provider=provider)) == 3
    for allow in (["127.0.0.1"], ["127.0.0.0/8"], ["127.0.0.1/8"]):
        catalog = mailhub(tmp_path, head=head, provider=provider, allow=allow)
        assert catalog.providers["mailhub"].hosts == ("127.0.0.1", "localhost")
    assert faults(tmp_path, head=head, provider=provider, allow=["localhost"])


def test_a_provider_of_kind_none_has_no_secrets(tmp_path: Path) -> None:
    action = ACTION.replace('scopes = ["mail.send"]\n', "")
    catalog = mailhub(tmp_path, provider="[provider]\nkind = 'none'\n", action=action)
    assert catalog.providers["mailhub"].hosts == ("api.mailhub.example",)
    told = faults(tmp_path, provider="[provider]\nkind = 'none'\ntoken_url = 'https://x.example'\n")
    assert any("token_url: means nothing to a provider of kind none" in text for text in told)
    assert any("of kind none has no scopes" in text for text in told)


SHARED = PROVIDER.replace("[provider]", "") + "hosts = ['auth.mailhub.example', 'api.mailhub.example']\n"
USES = "provider = 'hub'\n"


def test_a_shared_provider_serves_those_it_lists(tmp_path: Path) -> None:
    write(tmp_path, "connectors = ['mailhub', 'other']\n" + SHARED, "hub", "provider.toml")
    catalog = mailhub(tmp_path, provider=USES)
    assert catalog.connectors["mailhub"].provider.id == "hub"
    assert catalog.actions["mailhub.send"].action.provider == "hub"
    write(tmp_path, "connectors = ['other']\n" + SHARED, "hub", "provider.toml")
    assert "its `connectors` does not list it" in faults(tmp_path, provider=USES)[0]


def test_a_shared_provider_without_a_list_serves_its_own_path_entry(tmp_path: Path) -> None:
    write(tmp_path / "a", SHARED, "hub", "provider.toml")
    write(tmp_path / "a", HEAD + USES + ACTION)
    assert load_from(tmp_path / "a").connectors["mailhub"].provider.id == "hub"
    evil = (HEAD + USES + ACTION).replace("mailhub", "evilhub").replace("evilhub.example", "mailhub.example")
    write(tmp_path / "b", evil, "evilhub")
    with pytest.raises(Faults, match="the provider 'hub' is not for this connector"):
        load_from(tmp_path / "a", tmp_path / "b")


def test_a_foreign_connector_cannot_send_anothers_token_to_its_own_host(tmp_path: Path) -> None:
    write(tmp_path, "connectors = ['mailhub']\n" + SHARED, "hub", "provider.toml")
    told = faults(tmp_path, provider=USES, head=HEAD.replace("api.mailhub", "evil"))
    assert told == ["4: base_url: evil.example is not among the provider's hosts"]


def test_ids_are_unique_over_all_paths(tmp_path: Path) -> None:
    for entry in ("a", "b"):
        write(tmp_path / entry, HEAD + PROVIDER + ACTION)
    with pytest.raises(Faults, match=r"the connector 'mailhub' is in .* already"):
        load_from(tmp_path / "a", tmp_path / "b")
    assert load_from(tmp_path / "a", tmp_path / "a").actions
    write(tmp_path / "a", SHARED, "mailhub", "provider.toml")
    with pytest.raises(Faults, match="would share a redirect URI"):
        load_from(tmp_path / "a")


def test_a_path_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Faults, match="no such folder"):
        load_from(tmp_path / "nothing")
    assert load_from(tmp_path).actions == {}


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, "[broken", "one")
    write(tmp_path, HEAD + PROVIDER + ACTION.replace("high", "hihg").replace("title", "titel"))
    write(tmp_path, "kind = 'x'\n", "hub", "provider.toml")
    with pytest.raises(Faults) as wrong:
        load_from(tmp_path)
    assert len(wrong.value.faults) == 5
    assert {Path(fault.file).parent.name for fault in wrong.value.faults} == {"one", "mailhub", "hub"}


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ({"client_id": "x"}, "c.toml:2: providers.mailhub.a client needs client_secret"),
        (
            {"token_url": "https://evil.example/t", "hosts": ("auth.mailhub.example",)},
            "c.toml:3: providers.mailhub.token_url",
        ),
        ({"token_url": "http://auth.mailhub.example/t"}, "c.toml:3: providers.mailhub.token_url: https is required"),
    ],
)
def test_faults_of_an_override_point_into_the_configuration(tmp_path: Path, client: dict[str, Any], told: str) -> None:
    from jit_auth.catalog.load import load

    write(tmp_path, HEAD + PROVIDER + ACTION)
    config = read("c.toml", "[providers.mailhub]\nclient_id = 'x'\ntoken_url = 'y'\n")
    with pytest.raises(Faults) as wrong:
        load([tmp_path], {"mailhub": client}, public_url="", allow_private=(), shipped=False, kinds=KINDS,
             config=config)  # fmt: skip
    assert str(wrong.value.faults[0]).startswith(told)


def test_a_deployment_sets_its_client_and_overrides(tmp_path: Path) -> None:
    client = {"client_id": "i", "client_secret": "s", "token_url": "https://eu.mailhub.example/token"}
    provider = mailhub(tmp_path, clients={"mailhub": client}).providers["mailhub"]
    assert (provider.client_id, provider.client_secret, provider.token_url) == ("i", "s", client["token_url"])
    assert "eu.mailhub.example" in provider.hosts
    with pytest.raises(Faults, match=r"unknown provider 'malihub' \(did you mean 'mailhub'\?\)"):
        mailhub(tmp_path, clients={"malihub": {}})


def test_a_client_of_a_connector_that_cannot_be_read_is_no_second_fault(tmp_path: Path) -> None:
    with pytest.raises(Faults) as wrong:
        mailhub(tmp_path, action=ACTION.replace('risk = "high"', 'risk = "hihg"'), clients={"mailhub": {}})
    (told,) = map(str, wrong.value.faults)
    assert "invalid enum value 'hihg'" in told


def test_the_hash_covers_content_but_secrets_and_places(tmp_path: Path) -> None:
    one = mailhub(tmp_path / "a", clients={"mailhub": {"client_id": "i", "client_secret": "s"}})
    two = mailhub(tmp_path / "b", clients={"mailhub": {"client_id": "i", "client_secret": "t"}})
    assert one.hash == two.hash
    changed = [
        mailhub(tmp_path / "c", clients={"mailhub": {"client_id": "j", "client_secret": "s"}}),
        mailhub(tmp_path / "d", action=ACTION.replace("high", "low")),
        mailhub(tmp_path / "e", action=ACTION + "params.a = { type = 'string' }"),
        mailhub(tmp_path / "f", provider=PROVIDER + "base_scopes = ['a']\n"),
    ]
    assert len({one.hash, *(catalog.hash for catalog in changed)}) == 5


def test_actions_are_told_with_their_schema(tmp_path: Path) -> None:
    text = ACTION + "params.to = { type = 'string', format = 'email', required = true }\n"
    assert describe(mailhub(tmp_path, action=text).actions["mailhub.send"]) == {
        "name": "mailhub.send",
        "tool_name": "mailhub__send",
        "title": "Send",
        "summary": "Send",
        "connector": "mailhub",
        "provider": "mailhub",
        "risk": "high",
        "effect": "create",
        "run": "engine",
        "exposes": [],
        "scopes": ["mail.send"],
        "any_scopes": [],
        "params": {
            "type": "object",
            "properties": {"to": {"type": "string", "format": "email"}},
            "required": ["to"],
            "additionalProperties": False,
        },
    }


def test_what_an_action_exposes_is_told_once_and_in_one_order(tmp_path: Path) -> None:
    text = ACTION.replace("risk", 'exposes = ["external", "private", "external"]\nrisk')
    operation = mailhub(tmp_path, action=text).actions["mailhub.send"]
    assert operation.action.exposes == ("private", "external")
    assert describe(operation)["exposes"] == ["private", "external"]


@pytest.mark.parametrize(
    ("globs", "risk", "fits"),
    [
        (["mailhub.*"], "high", True),
        (["mailhub.*"], "critical", False),
        (["*"], "critical", False),
        (["mailhub.send"], "critical", True),
        (["*.send"], "low", True),
        (["mailhub.sen"], "low", False),
        (["Mailhub.*"], "low", False),
        (["ailhub.send"], "low", False),
        ([], "low", False),
    ],
)
def test_a_glob_never_covers_critical(globs: list[str], risk: Any, fits: bool) -> None:
    assert match(globs, "mailhub.send", risk) is fits
