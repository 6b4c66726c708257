"""Files as an operator would write them; hosts are the fakes'."""

from __future__ import annotations

from tests.acceptance.kit import OTHER, TOKEN, World, sha256

CONFIG = f"""
[server]
public_url = "http://127.0.0.1:{{port}}"
listen = "127.0.0.1:{{port}}"
environment = "acceptance"
hosts = ["jit.localhost"]
trusted_proxies = []
admin_tokens = [{{ env = "JIT_AUTH_ADMIN_TOKEN" }}]

[storage]
url = "sqlite:///jit-auth.db"

[vault]
keys = [{{ id = "2026-11", env = "JIT_AUTH_VAULT_KEY" }}]

[agents.mailbot]
secret_sha256 = "{sha256(TOKEN)}"
actions = ["mailhub.*", "mailhub.delete_everything", "echo.*", "keyed.*", "shared.*", "public.*"]
users = ["*"]
trusts_users = true
owners = []
sees_people = true
return_urls = ["http://127.0.0.1:9000/"]

[agents.otherbot]
secret_sha256 = "{sha256(OTHER)}"
actions = ["mailhub.*", "echo.say"]
users = ["alice@example.com", "zed@example.com"]
trusts_users = false
owners = ["olga@example.com"]
sees_people = false

[users]
verify = "none"
consent = "agent"

[people."ana@example.com"]
slack = "U012ANA"
email = "ana@example.com"
groups = ["finance"]
aliases = ["ana.rossi@example.com"]

[people."bo@example.com"]
[people."olga@example.com"]

[providers.mailhub]
client_id = "odd"
client_secret = {{ env = "MAILHUB_SECRET" }}

[providers.corp]
client_id = "odd"
client_secret = {{ file = "corp.secret" }}

[providers.keyed]
client_id = "keyed"
client_secret = {{ command = ["cat", "keyed.pem"] }}

[providers.public]
client_id = "public"

[connectors]
paths = ["./connectors"]
allow_private_hosts = ["127.0.0.1"]

[policies]
paths = ["policies.toml"]

[limits]
approved_send_within = "15m"
"""

POLICIES = """
format = 1
[defaults]
no_match = "deny"
timezone = "Europe/Rome"
[groups]
finance = ["bo@example.com", "cy@example.com"]

[[rule]]
id = "reads"
match = ["mailhub.list_*", "mailhub.read_by_write", "mailhub.search", "shared.*", "keyed.*", "public.*", "echo.*"]
unless = "action.name in ['echo.ask', 'echo.ask_own', 'echo.both', 'echo.nothing', 'echo.erase']"
effect = "allow"

[[rule]]
id = "sends"
match = ["mailhub.send_message", "echo.ask", "echo.both"]
effect = "require_approval"
reason = "Ana looks at what leaves"
mode = "enforce"
[rule.approval]
from = ["user:ana@example.com"]
need = 1
via = ["page"]
expires = "4h"

[[rule]]
id = "own"
match = ["echo.ask_own", "echo.both"]
effect = "require_approval"
approval = { from = ["requester"] }

[[rule]]
id = "never"
match = ["echo.say", "echo.ask", "echo.once"]
when = "has(params.text) && params.text == 'forbidden'"
effect = "deny"
reason = "Nobody says that"

[[rule]]
id = "watched"
match = ["echo.say"]
when = "params.text == 'shadow'"
effect = "deny"
mode = "shadow"
"""


def mailhub(world: World) -> str:
    """An OAuth provider inside its connector, with every key that has a default set."""
    odd = world.provider.url
    return f"""
id = "mailhub"
name = "MailHub"
docs = "https://docs.mailhub.example/api"
base_url = "{world.mail.url}"

[provider]
kind = "oauth2"
issuer = "{odd}"
authorize_url = "{odd}/authorize"
token_url = "{odd}/token"
revoke_url = "{odd}/revoke"
userinfo_url = "{odd}/me"
hosts = ["127.0.0.1"]
scope_separator = " "
token_auth = "client_secret_basic"
authorize_params = {{ access_type = "offline" }}
base_scopes = ["offline_access"]
implies = {{ "mail.write" = ["mail.read", "mail.send"] }}
scope_titles = {{ "mail.send" = "Send e-mail as you", "mail.read" = "Read your e-mail" }}
inject = {{ header = "Authorization", value = "Bearer {{token}}" }}
manage_url = "https://auth.mailhub.example/apps"

[actions.send_message]
title = "Send an e-mail"
summary = "Send to {{to}}: {{subject}}"
show = ["to", "subject", "body"]
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "high"
effect = "create"
retry = "never"
[actions.send_message.params]
to = {{ type = "array", items = {{ type = "string", format = "email" }}, required = true }}
subject = {{ type = "string", maxLength = 998, required = true }}
body = {{ type = "string", sensitive = true }}

[actions.list_messages]
title = "List messages"
method = "GET"
path = "/messages"
scopes = ["mail.read"]
risk = "low"
effect = "read"

[actions.read_by_write]
title = "Read with the wider scope"
method = "GET"
path = "/messages"
scopes = ["mail.write"]
risk = "low"
effect = "read"

[actions.search]
title = "Search"
method = "GET"
path = "/messages"
any_scopes = ["mail.read", "mail.search"]
risk = "low"
effect = "read"
timeout = "10s"
params.q = {{ type = "string" }}

[actions.delete_everything]
title = "Delete all"
method = "DELETE"
path = "/messages/{{id}}"
scopes = ["mail.delete"]
risk = "critical"
effect = "delete"
params.id = {{ type = "string", required = true }}
"""


def echo(world: World) -> str:
    """Nothing to connect; every way a parameter can go."""
    return f"""
id = "echo"
name = "Echo"
docs = "https://docs.echo.example/api"
base_url = "{world.upstream.url}/v1"

[provider]
kind = "none"

[actions.say]
title = "Say something"
summary = "Say {{text}}"
method = "POST"
path = "/say"
risk = "low"
effect = "create"
params.text = {{ type = "string", required = true }}
params.count = {{ type = "integer", default = 1, minimum = 0 }}
params.note = {{ type = ["string", "null"] }}

[actions.ask]
title = "Say something, asked first"
summary = "Say {{text}}"
method = "POST"
path = "/say"
risk = "high"
effect = "create"
params.text = {{ type = "string", required = true }}
params.secret = {{ type = "string", sensitive = true }}

[actions.ask_own]
title = "Say something the user agrees to"
method = "POST"
path = "/say"
risk = "medium"
effect = "create"
params.text = {{ type = "string", required = true }}

[actions.both]
title = "Two people"
method = "POST"
path = "/say"
risk = "medium"
effect = "create"
params.text = {{ type = "string", required = true }}

[actions.nothing]
title = "No rule is about this"
method = "POST"
path = "/nothing"
risk = "low"
effect = "create"

[actions.erase]
title = "Erase"
method = "DELETE"
path = "/all"
risk = "critical"
effect = "delete"

[actions.places]
title = "Every place"
method = "PUT"
path = "/things/{{id}}/parts/{{part}}"
risk = "low"
effect = "update"
retry = "idempotent"
expose_headers = ["X-Request-Id", "ETag"]
secret_fields = ["/token", "/deep/0/key"]
[actions.places.params]
id = {{ type = "string", required = true }}
part = {{ type = "integer", required = true }}
kind = {{ type = "string", in = "query" }}
tags = {{ type = "array", items = {{ type = "string" }}, in = "query" }}
X-Trace = {{ type = "string", in = "header" }}
when = {{ type = "string", format = "date-time" }}
mode = {{ type = "string", enum = ["fast", "slow"], default = "slow" }}
[actions.places.params.person]
type = "object"
[actions.places.params.person.properties]
name = {{ type = "string" }}
home = {{ type = "object", properties = {{ city = {{ type = "string" }} }} }}
[actions.places.params.free]
type = "object"
as = "opaque"
additionalProperties = true

[actions.look]
title = "Look"
method = "GET"
path = "/look"
risk = "low"
effect = "read"
timeout = "1s"
params.q = {{ type = "string" }}

[actions.once]
title = "With the provider's idempotency key"
method = "POST"
path = "/once"
risk = "low"
effect = "create"
retry = "key:Idempotency-Key"
params.text = {{ type = "string", required = true }}

[actions.risky]
title = "Never twice"
method = "POST"
path = "/risky"
risk = "low"
effect = "create"
retry = "never"
timeout = "2s"
params.text = {{ type = "string" }}
"""


def shared_provider(world: World) -> str:
    odd = world.provider.url
    return f"""
kind = "oauth2"
authorize_url = "{odd}/authorize"
token_url = "{odd}/token"
refresh_url = "{odd}/refresh"
hosts = ["127.0.0.1"]
scope_separator = ","
token_auth = "client_secret_post"
inject = {{ query = "access_token" }}
connectors = ["shared"]
"""


def shared(world: World) -> str:
    return f"""
id = "shared"
name = "Shared"
docs = "https://docs.shared.example/api"
base_url = "{world.upstream.url}/shared"
provider = "corp"

[actions.read]
title = "Read"
method = "GET"
path = "/read"
scopes = ["a.read", "b.read"]
risk = "low"
effect = "read"
params.q = {{ type = "string" }}

[actions.write]
title = "Write"
method = "POST"
path = "/write"
scopes = ["a.read", "b.read"]
risk = "low"
effect = "create"
params.n = {{ type = "integer" }}
"""


def public(world: World) -> str:
    """A public client (RFC 6749, 2.1) whose endpoints come from metadata alone."""
    return f"""
id = "public"
name = "Public"
docs = "https://docs.public.example/api"
base_url = "{world.upstream.url}/public"

[provider]
kind = "oauth2"
issuer = "{world.provider.url}"
token_auth = "none"

[actions.read]
title = "Read"
method = "GET"
path = "/read"
scopes = ["p.read"]
risk = "low"
effect = "read"
"""


def keyed(world: World) -> str:
    odd = world.provider.url
    return f"""
id = "keyed"
name = "Keyed"
docs = "https://docs.keyed.example/api"
base_url = "{world.upstream.url}/keyed"

[provider]
kind = "oauth2"
authorize_url = "{odd}/authorize"
token_url = "{odd}/token"
hosts = ["127.0.0.1"]
token_auth = "private_key_jwt"
inject = {{ header = "X-Token", value = "token={{token}}" }}

[actions.read]
title = "Read"
method = "GET"
path = "/read"
scopes = ["k.read"]
risk = "low"
effect = "read"
unauthorized_is_unexecuted = true

[actions.write]
title = "Write"
method = "POST"
path = "/write"
scopes = ["k.write"]
risk = "low"
effect = "create"
"""


def everything(world: World) -> dict[str, str]:
    return {
        "config.toml": CONFIG,
        "policies.toml": POLICIES,
        "corp.secret": world.provider.client_secret,
        "keyed.pem": world.key.as_pem(private=True).decode(),
        "connectors/mailhub/connector.toml": mailhub(world),
        "connectors/echo/connector.toml": echo(world),
        "connectors/corp/provider.toml": shared_provider(world),
        "connectors/shared/connector.toml": shared(world),
        "connectors/keyed/connector.toml": keyed(world),
        "connectors/public/connector.toml": public(world),
    }
