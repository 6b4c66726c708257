"""`jit-auth init`: a configuration that works at once, with keys and tokens of its own; never overwrites."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from jit_auth.errors import JitAuthError

AGENT = "my-agent"
PERSON = "me@example.com"

_CONFIG = """\
# jit_auth's configuration. `jit-auth check` judges it; config.example.toml of the project explains every key.

[server]
public_url = "http://127.0.0.1:8080"
listen = "127.0.0.1:8080"
environment = "dev"
admin_tokens = [{{ file = "admin.token" }}]

[storage]
url = "sqlite:///jit-auth.db"

[vault]
keys = [{{ id = "{key_id}", file = "vault.key" }}]

[agents.{agent}]
secret_sha256 = "{secret_sha256}"
actions = ["gmail.*", "gcal.*", "github.*", "slack.*"]
users = ["{person}"]

[users]
verify = "none"

[people."{person}"]

# This deployment's OAuth clients. `jit-auth connectors show ID` prints the redirect URI to register there.
# [providers.github]
# client_id = "..."
# client_secret = {{ env = "GITHUB_CLIENT_SECRET" }}

[connectors]
paths = ["connectors"]
# allow_private_hosts = ["127.0.0.1"] # an API of your own on this machine; every other inside address stays refused

[policies]
paths = ["policies.toml"]
"""

_POLICIES = """\
# Who may what, and who is asked. The strictest matching rule wins; what no rule allows is denied.
format = 1

[defaults]
no_match = "deny"

[[rule]]
id = "reads" # of these connectors; a new one is added here once its reads may be had without asking
match = ["gmail.*", "gcal.*", "github.*", "slack.*"]
when = "action.effect == 'read'"
effect = "allow"

[[rule]]
id = "writes-ask-the-user"
match = ["*"]
when = "action.effect != 'read'"
effect = "require_approval"
reason = "The user decides on everything that changes something"
approval = { from = ["requester"] }

[[rule]]
id = "lethal-trifecta" # the user says yes to what leaves with what was read, also once writes are allowed above
match = ["*"]
when = "'external' in action.exposes && task.private && task.untrusted"
effect = "require_approval"
reason = "This task has read private data and text that others wrote, and now acts where others see it"
approval = { from = ["requester"] }

[[test]]
name = "a read needs nobody"
action = "github.get_issue"
set = { "params.owner" = "octo", "params.repo" = "hello", "params.issue_number" = 1 }
expect = { effect = "allow", rules = ["reads"] }

[[test]]
name = "a write needs the user"
action = "github.create_issue"
set = { "params.owner" = "octo", "params.repo" = "hello", "params.title" = "It is broken" }
expect = { effect = "require_approval", rules = ["writes-ask-the-user"] }

[[test]]
name = "what a task has read is told to whoever is asked"
action = "github.create_issue"
expect = { effect = "require_approval", rules = ["lethal-trifecta", "writes-ask-the-user"] }
[test.set]
params = { owner = "octo", repo = "hello", title = "It is broken" }
task = { private = true, untrusted = true }
"""


@dataclass(frozen=True)
class Created:
    """What `init` made. `token` is the agent's, shown once and kept nowhere."""

    folder: Path
    files: tuple[Path, ...]
    agent: str
    token: str
    person: str


def new_token(kind: str = "agt") -> tuple[str, str]:
    """A token of 256 random bits with a prefix for scanners (`jat_agt_`), and its SHA-256 in hex."""
    token = f"jat_{kind}_{secrets.token_hex(32)}"
    return token, hashlib.sha256(token.encode()).hexdigest()


def init(folder: Path) -> Created:
    """Write configuration, policies and keys into `folder`, readable by its owner alone.

    Raises JitAuthError where one of the files exists (nothing is written then) or cannot be written.
    """
    token, secret_sha256 = new_token()
    admin, _ = new_token("adm")
    config = _CONFIG.format(key_id="key-1", agent=AGENT, secret_sha256=secret_sha256, person=PERSON)
    contents = {
        "vault.key": base64.b64encode(secrets.token_bytes(32)).decode() + "\n",
        "admin.token": admin + "\n",
        "policies.toml": _POLICIES,
        "config.toml": config,  # last: whoever sees it finds the rest
    }
    there = [folder / name for name in contents if (folder / name).exists()]
    if there:
        raise JitAuthError(f"{there[0]} exists already; nothing was written", hint="Name an empty folder.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "connectors").mkdir(mode=0o700, exist_ok=True)
        for name, text in contents.items():
            _write(folder / name, text)
    except OSError as error:
        raise JitAuthError(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    return Created(folder, tuple(folder / name for name in contents), AGENT, token, PERSON)


def _write(path: Path, text: str) -> None:
    # O_EXCL: a file (or link) that appeared since the look above is not written through.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
