"""From what a test says of its service to the settings of a real one, in a folder of the test's own.

Attack: a developer's config.toml leads a test to production. Of that file nothing is taken that could: its secrets are
replaced before anything looks at them (none is read, no command runs), and database, keys, address, admins, channels
and issuers are not its own.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import UNSET

from jit_auth.catalog.files import find, shipped_path
from jit_auth.channels import CHANNELS
from jit_auth.config.load import document_of
from jit_auth.config.provider import ProviderTable
from jit_auth.config.resolve import Resolver
from jit_auth.config.settings import Settings
from jit_auth.config.tables import File
from jit_auth.config.urls import is_loopback
from jit_auth.core.toml import Document, convert
from jit_auth.credentials import KINDS
from jit_auth.errors import Fault, Faults, Misused
from jit_auth.loading import load_bundle
from jit_auth.testing.setup import AGENT, CALLBACKS, Setup

Data = dict[str, Any]

ADMIN = "testing"
_VAULT = "JIT_AUTH_TESTING_VAULT_KEY"
_NOT_ITS_OWN = ("server", "storage", "vault", "admins", "issuers")
_SOURCES = frozenset({"env", "file", "command"})
_SECRETS = frozenset({
    "client_secret", "secret", "app_secret", "callback_secret", "bot_token", "signing_secret", "app_token", "smtp_url",
})  # fmt: skip
_CREDENTIALS = ("client_id", "client_secret", "secret", "username")


class Configuration:
    """Of one kit. `url`: where the service will listen; `token`: the first agent's. Raises Faults, Misused."""

    def __init__(self, setup: Setup, folder: Path, url: str, token: str) -> None:
        self._folder = folder
        self._key = base64.b64encode(os.urandom(32)).decode()
        self.url = url
        self.admin = "jat_adm_" + secrets.token_hex(32)
        document = Document("(setup)", {}) if setup.config is None else document_of(setup.config)
        self._base = folder if setup.config is None else setup.config.absolute().parent
        self._beyond = setup.config is not None and _beyond(convert(document, File))
        data = _harmless(document.data, ())
        environment = data.get("server", {}).get("environment", "test")
        for name in _NOT_ITS_OWN:
            data.pop(name, None)
        data["server"] = {"public_url": url, "listen": urlsplit(url).netloc, "environment": environment}
        data["storage"] = {"url": f"sqlite:///{folder.absolute()}/jit-auth.db"}
        data["vault"] = {"keys": [{"id": "testing", "env": _VAULT}]}
        data["admins"] = {ADMIN: {"secret_sha256": _sha256(self.admin), "role": "security"}}
        users = data.get("users", {})
        data["users"] = {"verify": "none"} | {key: users[key] for key in ("consent", "notify") if key in users}
        _merge(data, {"agents": setup.agents, "people": setup.people})
        self._connectors(data, setup)
        if barred := [name for name in _NOT_ITS_OWN if name in setup.tables]:
            raise Misused(f"[{barred[0]}] is the kit's own.", hint="A test has no use for another one.")
        _merge(data, setup.tables)
        self.tokens: dict[str, str] = {}
        """Of each agent."""
        agents = data.setdefault("agents", {}) or {AGENT: {"actions": ["*"]}}
        data["agents"] = agents
        self.first: str = next(iter(setup.agents or agents))
        for name in agents:
            self.tokens[name] = token if name == self.first else "jat_agt_" + secrets.token_hex(32)
        self._document = Document(document.file, data, document.text)

    def settings(self) -> Settings:
        """As a file would give them. Raises Faults."""
        agents = {name: self._agent(name, table) for name, table in self._document.data["agents"].items()}
        document = replace(self._document, data={**self._document.data, "agents": agents})
        kinds = {channel.name: channel.settings for channel in CHANNELS.values() if channel.settings is not None}
        resolver = Resolver(document, self._base, {_VAULT: self._key}, channels=kinds, secrets=True)
        settings = resolver.settings(convert(document, File))
        if resolver.faults:
            raise Faults(resolver.faults)
        return settings

    def with_agent(self, name: str, table: Mapping[str, Any]) -> Settings:
        """The settings with one more agent, or another table for one. Raises Faults: then nothing is kept of it."""
        agents = self._document.data["agents"]
        before, tokens = dict(agents), dict(self.tokens)
        self.tokens.setdefault(name, "jat_agt_" + secrets.token_hex(32))
        agents[name] = dict(table)
        try:
            settings = self.settings()
            load_bundle(settings)  # what is wrong is raised here, where a reload would only log it
        except Faults:
            agents.clear()
            agents.update(before)
            self.tokens = tokens
            raise
        return settings

    def token(self, agent: str | None) -> str:
        """Raises Misused."""
        try:
            return self.tokens[self.first if agent is None else agent]
        except KeyError:
            raise Misused(
                f"There is no agent {agent!r}: there are {', '.join(self.tokens)}.",
                hint="Name it in Setup(agents=...), or call register().",
            ) from None

    def _agent(self, name: str, table: Mapping[str, Any]) -> Data:
        usual: Data = {"users": ["*"], "callback_urls": [CALLBACKS]}
        if self._beyond:  # what follows from its own address, and not from ours
            usual |= {"trusts_users": False, "sees_people": False}
        return {**usual, **table, "secret_sha256": _sha256(self.tokens[name])}

    def _connectors(self, data: Data, setup: Setup) -> None:
        own = [self._connector(each) for each in setup.connectors]
        connectors = data.setdefault("connectors", {})
        connectors["paths"] = [*connectors.get("paths", ()), *own]
        if setup.config is None:
            connectors.setdefault("allow_private_hosts", ["127.0.0.1", "localhost"])
        policies = data.setdefault("policies", {})
        rules = [self._policy(number, each) for number, each in enumerate(setup.policies)]
        policies["paths"] = [*policies.get("paths", ()), *rules]
        faults: list[Fault] = []
        files = find([shipped_path(), *(self._base / path for path in connectors["paths"])], faults)
        if faults:
            raise Faults(faults)
        providers = data.setdefault("providers", {})
        for shared in files.providers:
            _supply(providers.setdefault(shared.id, {}), shared.table)
        for connector in files.connectors:
            if isinstance(connector.table.provider, ProviderTable):
                _supply(providers.setdefault(connector.id, {}), connector.table.provider)

    def _connector(self, given: Path | str) -> str:
        if isinstance(given, Path):
            return str(given.absolute())
        try:
            name = tomllib.loads(given)["id"]
        except (tomllib.TOMLDecodeError, KeyError) as fault:
            raise Misused(f"A connector of the setup is no connector.toml: {fault}.") from None
        folder = self._folder / "connectors" / str(name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "connector.toml").write_text(given, "utf-8")
        return str(folder.absolute())

    def _policy(self, number: int, given: Path | str) -> str:
        if isinstance(given, Path):
            return str(given.absolute())
        path = self._folder / f"policies-{number}.toml"
        path.write_text(given, "utf-8")
        return str(path.absolute())


def _beyond(file: File) -> bool:
    """Whether a deployment is no development: then its agents are believed less, unless it says otherwise."""
    try:
        hosts = [urlsplit(url).hostname or "" for url in (file.server.public_url, f"//{file.server.listen}")]
    except ValueError:
        return True
    return not all(map(is_loopback, hosts))


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _merge(data: Data, tables: Mapping[str, Mapping[str, Any]]) -> None:
    for name, table in tables.items():
        data[name] = {**data.get(name, {}), **table}


def _supply(table: Data, provider: ProviderTable) -> None:
    """A client, or a credential, where the configuration names none."""
    kind = KINDS.get("oauth2" if provider.kind is UNSET else provider.kind)
    for key in _CREDENTIALS if kind is not None else ():
        if kind is not None and key in kind.keys:
            table.setdefault(key, "testing" if key in ("client_id", "username") else "testing-secret")


def _harmless(value: Any, path: tuple[str, ...]) -> Any:
    """A copy in which every secret, and every place where one would be looked up, is a word of the kit's."""
    if isinstance(value, dict):
        if len(value) == 1 and value.keys() <= _SOURCES:
            return _stand_in(path)
        return {key: _stand_in((*path, key)) if _is_secret(key, each) else _harmless(each, (*path, key))
                for key, each in value.items()}  # fmt: skip
    return (
        [_harmless(each, (*path, str(number))) for number, each in enumerate(value)]
        if isinstance(value, list)
        else value
    )


def _is_secret(key: str, value: Any) -> bool:
    return key in _SECRETS and (isinstance(value, str) or (isinstance(value, dict) and value.keys() <= _SOURCES))


def _stand_in(path: tuple[str, ...]) -> str:
    if path[-1] == "smtp_url":
        return "smtp://127.0.0.1:1025"
    return "whsec_" + base64.b64encode(hashlib.sha256(".".join(path).encode()).digest()).decode()
