"""From the tables of config.toml to Settings: cross-checks, defaults, secrets, reliefs on loopback."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from jit_auth.config import settings as made
from jit_auth.config import tables, urls
from jit_auth.config.admins import judge_admins
from jit_auth.config.channels import gather_channels
from jit_auth.config.database import judge_url, sqlite_path
from jit_auth.config.limits import judge_limits
from jit_auth.config.people import People, gather
from jit_auth.config.provider import ClientTable, written
from jit_auth.config.retention import judge_retention
from jit_auth.config.secret import Secret, Secrets, is_address
from jit_auth.config.signin import judge_issuers, judge_users
from jit_auth.config.signing import signing_key
from jit_auth.core.ids import person_id
from jit_auth.core.toml import Document
from jit_auth.errors import Fault, Problem

AGENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = AGENT_NAME
_GLOB = re.compile(r"[A-Za-z0-9._*-]+")


class Resolver:
    """Resolves one file. `faults` gathers what is wrong; what could not be resolved is left empty."""

    def __init__(
        self,
        document: Document,
        base: Path,
        environ: Mapping[str, str],
        *,
        channels: Mapping[str, type[Struct]],
        secrets: bool,
    ) -> None:
        self._document = document
        self._kinds = channels
        self._base = base
        self._environ = environ
        self._resolve_secrets = secrets
        self._secrets = Secrets(base, loopback=True, environ=environ)
        self._origin = ""
        self.faults: list[Fault] = []
        self.warnings: list[str] = []

    def settings(self, file: tables.File) -> made.Settings:
        """Everything resolved. Look at `faults` before using it."""
        host, listen, loopback = self._addresses(file.server)
        self._secrets = Secrets(self._base, loopback=loopback, environ=self._environ)
        people = gather(file.people, lambda path, message: self._fault(("people", *path), message))
        channels, wrong = gather_channels(
            file.channels, self._kinds, self._document, self._channel_secret, secrets=self._resolve_secrets
        )
        self.faults += wrong
        webhooks, callbacks = self._signed(file.webhooks, file.agents)
        server = self._server(file.server, host, listen)
        settings = made.Settings(
            server=server,
            storage=self._storage(file.storage),
            vault=self._vault(file.vault),
            agents=self._agents(file.agents, people, loopback),
            admins=(
                admins := judge_admins(
                    file.admins,
                    server.admin_token_sha256,
                    {table.secret_sha256 for table in file.agents.values()},
                    self._fault,
                )
            ),
            users=judge_users(
                file.users,
                file.issuers,
                file.channels,
                self._secret,
                self._fault,
                beyond=None if loopback else self._beyond(host),
                warn=self.warnings.append,
                taken={
                    *(table.secret_sha256 for table in file.agents.values()),
                    *(admin.secret_sha256 for admin in admins.values()),
                },
            ),
            issuers=judge_issuers(file.issuers, self._secret, self._fault),
            people=people,
            providers={name: self._provider(name, table) for name, table in file.providers.items()},
            connectors=self._connectors(file.connectors),
            policies=made.Policies(paths=tuple(self._base / path for path in file.policies.paths)),
            limits=judge_limits(file.limits, lambda key, message: self._fault(("limits", key), message)),
            retention=judge_retention(file.retention, lambda key, message: self._fault(("retention", key), message)),
            channels=channels,
            webhooks=webhooks,
            callback_secrets=callbacks,
            loopback=loopback,
            base=self._base,
            document=self._document,
        )
        if self._secrets.literals:
            self._mode(self._base / Path(self._document.file).name, "the configuration, which holds secrets,", ())
        return replace(settings, warnings=(*self._secrets.warnings, *self.warnings))

    def _fault(self, path: tuple[str | int, ...], message: str) -> None:
        self.faults.append(self._document.fault(path, message))

    def _secret(self, secret: Secret, path: tuple[str | int, ...]) -> str:
        if not self._resolve_secrets:
            return ""
        try:
            return self._secrets.resolve(secret)
        except ValueError as error:
            self._fault(path, str(error))
            return ""

    def _channel_secret(self, secret: Secret, path: tuple[str | int, ...]) -> str:
        return secret if isinstance(secret, str) and is_address(secret) else self._secret(secret, path)

    def _mode(self, path: Path, what: str, at: tuple[str | int, ...]) -> None:
        try:
            self._secrets.judge_mode(path, what)
        except ValueError as error:
            self._fault(at, str(error))

    def _addresses(self, server: tables.ServerTable) -> tuple[str, tuple[str, int], bool]:
        host, listen = "", ("127.0.0.1", 8080)
        try:
            self._origin = urls.origin(server.public_url)
            host = urls.parsed(self._origin).hostname or ""
        except ValueError as error:
            self._fault(("server", "public_url"), f"server.public_url: {error}")
        try:
            listen = urls.host_port(server.listen)
        except ValueError as error:
            self._fault(("server", "listen"), f"server.listen: {error}")
        # An address that cannot be read is a fault of its own: nothing is told of what would follow from it.
        loopback = not host or (urls.is_loopback(host) and urls.is_loopback(listen[0]))
        if not loopback:
            if not self._origin.startswith("https:"):
                self._fault(("server", "public_url"), "server.public_url: https is required unless all is loopback")
            if server.admin_tokens:
                self._fault(
                    ("server", "admin_tokens"), "server.admin_tokens: nameless and all-powerful, so on loopback alone"
                )
        return host, listen, loopback

    def _beyond(self, host: str) -> tuple[str, str]:
        """Where the file says that links must not decide: at `verify`, or, where it is left out, at the address."""
        if ("users", "verify") in self._document.places:
            return ("users", "verify")
        return ("server", "listen" if urls.is_loopback(host) else "public_url")

    def _server(self, server: tables.ServerTable, host: str, listen: tuple[str, int]) -> made.Server:
        for number, name in enumerate(server.hosts):
            if not urls.is_host(name.lower()):
                self._fault(("server", "hosts", number), f"server.hosts: {name!r} is no host name without port")
        for number, proxy in enumerate(server.trusted_proxies):
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                self._fault(("server", "trusted_proxies", number), f"{proxy!r} is no address or network")
        tokens = [self._secret(t, ("server", "admin_tokens", n)) for n, t in enumerate(server.admin_tokens)]
        return made.Server(
            public_url=self._origin,
            host=host,
            listen=listen,
            environment=server.environment,
            hosts=tuple(name.lower() for name in server.hosts),
            trusted_proxies=server.trusted_proxies,
            admin_token_sha256=tuple(hashlib.sha256(token.encode()).hexdigest() for token in tokens if token),
            metrics_listen=self._metrics_listen(server, listen),
        )

    def _metrics_listen(self, server: tables.ServerTable, listen: tuple[str, int]) -> tuple[str, int] | None:
        if server.metrics_listen is None:
            return None
        try:
            found = urls.host_port(server.metrics_listen)
        except ValueError as error:
            self._fault(("server", "metrics_listen"), f"server.metrics_listen: {error}")
            return None
        if found == listen:
            self._fault(("server", "metrics_listen"), "server.metrics_listen: `listen` has this address")
        if not urls.is_loopback(found[0]):
            self.warnings.append("[server] metrics_listen: whoever reaches that address reads the metrics")
        return found

    def _storage(self, storage: tables.StorageTable) -> made.Storage:
        given = storage.url
        plain = isinstance(given, str) and "@" not in given and "password" not in given
        url = given if isinstance(given, str) and plain else self._secret(given, ("storage", "url"))
        if url:
            try:
                judge_url(url, insecure=storage.insecure_db)
            except ValueError as error:
                self._fault(("storage", "url"), f"storage.url: {error}")
            database = sqlite_path(url, self._base)
            if database is not None:
                self._mode(database, "the database", ("storage", "url"))
        if storage.insecure_db:
            self.warnings.append("[storage] insecure_db: the connection to the database may be read and changed")
        return made.Storage(url=url, insecure_db=storage.insecure_db)

    def _vault(self, vault: tables.VaultTable) -> made.VaultKeys:
        keys: dict[str, bytes] = {}
        if not vault.keys:
            self._fault(("vault", "keys"), "vault.keys: at least one key is needed; `jit-auth init` makes one")
        for number, table in enumerate(vault.keys):
            at = ("vault", "keys", number)
            if not AGENT_NAME.fullmatch(table.id) or table.id in keys:
                self._fault(at, f"vault.keys: {table.id!r} is {'used twice' if table.id in keys else 'no id of a key'}")
            text = self._secret(table.secret(), at)
            keys[table.id] = b""
            if not text:
                continue
            try:
                keys[table.id] = base64.b64decode(text.strip(), validate=True)
            except binascii.Error:
                self._fault(at, f"vault.keys: the key {table.id!r} is no base64")
                continue
            if len(keys[table.id]) != 32:
                self._fault(at, f"vault.keys: the key {table.id!r} has {len(keys[table.id])} bytes, not 32")
        return made.VaultKeys(keys=tuple(keys.items()))

    def _agents(self, agents: Mapping[str, tables.AgentTable], people: People, loopback: bool) -> dict[str, made.Agent]:
        resolved: dict[str, made.Agent] = {}
        secrets: dict[str, str] = {}
        for name, table in agents.items():
            at = ("agents", name)
            if not AGENT_NAME.fullmatch(name):
                self._fault(at, f"{name!r} is no name of an agent: letters, digits and ._-, at most 64")
            if not _SHA256.fullmatch(table.secret_sha256):
                self._fault((*at, "secret_sha256"), f"agents.{name}.secret_sha256: expected 64 lower-case hex digits")
            elif (other := secrets.setdefault(table.secret_sha256, name)) != name:
                self._fault((*at, "secret_sha256"), f"the agents {other} and {name} share a secret: one each")
            for number, action in enumerate(table.actions):
                if not _GLOB.fullmatch(action):
                    self._fault((*at, "actions", number), f"{action!r} is no name or glob of actions")
            for key, prefixes in (("return_urls", table.return_urls), ("callback_urls", table.callback_urls)):
                for number, url in enumerate(prefixes):
                    try:
                        urls.prefix(url)
                    except ValueError as error:
                        self._fault((*at, key, number), f"agents.{name}.{key}: {error}")
            trusts = loopback if table.trusts_users is None else table.trusts_users
            if "*" in table.users and not trusts:
                self.warnings.append(
                    f'agent {name} may act for anyone (users = ["*"]) and its word about who the user is '
                    "proves nothing (trusts_users = false): conditions on user.id and user.groups fail"
                )
            resolved[name] = made.Agent(
                name=name,
                secret_sha256=table.secret_sha256,
                actions=table.actions,
                users=self._persons(table.users, people, (*at, "users")),
                trusts_users=trusts,
                owners=self._persons(table.owners, people, (*at, "owners")),
                sees_people=loopback if table.sees_people is None else table.sees_people,
                callback_urls=table.callback_urls,
                return_urls=table.return_urls,
                connections=table.connections,
            )
        return resolved

    def _persons(self, texts: tuple[str, ...], people: People, at: tuple[str, ...]) -> tuple[str, ...]:
        found: list[str] = []
        for number, text in enumerate(texts):
            if text == "*" and at[-1] == "users":
                found.append(text)
                continue
            try:
                found.append(people.names.get(person_id(text), person_id(text)))
            except Problem as problem:
                self._fault((*at, number), f"{text!r}: {problem.message}")
        return tuple(dict.fromkeys(found))

    def _provider(self, name: str, table: ClientTable) -> dict[str, Any]:
        given = written(table)
        for key in ("client_secret", "secret"):
            if key in given:
                given[key] = self._secret(given[key], ("providers", name, key))
        if "ca_file" in given:
            given["ca_file"] = str(self._base / given["ca_file"])
        return given

    def _connectors(self, connectors: tables.ConnectorsTable) -> made.Connectors:
        for number, host in enumerate(connectors.allow_private_hosts):
            try:
                ipaddress.ip_network(host, strict=False)
            except ValueError:
                if not urls.is_host(host.lower().removeprefix("*.")):
                    at = ("connectors", "allow_private_hosts", number)
                    self._fault(at, f"{host!r} is no host name, address or network")
        return made.Connectors(
            paths=tuple(self._base / path for path in connectors.paths),
            allow_private_hosts=tuple(host.lower() for host in connectors.allow_private_hosts),
        )

    def _signed(
        self, webhooks: Mapping[str, tables.WebhookTable], agents: Mapping[str, tables.AgentTable]
    ) -> tuple[dict[str, made.Webhook], dict[str, bytes]]:
        """Who is sent events, and what signs them: no two places share a secret, or one could forge the other's."""
        places: dict[bytes, str] = {}
        resolved: dict[str, made.Webhook] = {}
        callbacks: dict[str, bytes] = {}
        for name, table in webhooks.items():
            at = ("webhooks", name)
            if not NAME.fullmatch(name):
                self._fault(at, f"{name!r} is no name of a webhook: letters, digits and ._-, at most 64")
            try:
                urls.target(table.url)
            except ValueError as error:
                self._fault((*at, "url"), f"webhooks.{name}.url: {error}")
            key = self._signing_key(table.secret, (*at, "secret"), places)
            resolved[name] = made.Webhook(url=table.url, secret=key)
        for name, agent in agents.items():
            if agent.callback_secret is not None:
                callbacks[name] = self._signing_key(agent.callback_secret, ("agents", name, "callback_secret"), places)
        return resolved, callbacks

    def _signing_key(self, secret: Secret, at: tuple[str, ...], places: dict[bytes, str]) -> bytes:
        text = self._secret(secret, at)
        if not text:
            return b""
        where = ".".join(at)
        try:
            key = signing_key(text)
        except ValueError as error:
            self._fault(at, f"{where}: {error}")
            return b""
        if (other := places.setdefault(key, where)) != where:
            self._fault(at, f"{where} is the secret of {other} too: one each")
        return key
