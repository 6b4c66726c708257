"""Load the catalog: every connector and provider judged, every action compiled; all faults at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from jit_auth.catalog.authorities import authorities
from jit_auth.catalog.connector import Tell, connector_of, head_of
from jit_auth.catalog.files import Files, Found, find, shipped_path
from jit_auth.catalog.kinds import ProviderKind
from jit_auth.catalog.provider import ID, judge, merge, public
from jit_auth.catalog.tables import ConnectorTable
from jit_auth.catalog.tools import tool_names, tool_params
from jit_auth.catalog.validate import Validate
from jit_auth.config.provider import ProviderTable, written
from jit_auth.core.digest import canonical, sha256_text
from jit_auth.core.request import Build, prepare
from jit_auth.core.toml import Document, did_you_mean
from jit_auth.errors import Fault, Faults
from jit_auth.model import Action, Connector, Provider


@dataclass(frozen=True, slots=True)
class Operation:
    """One action, ready to be called."""

    action: Action
    connector: Connector
    provider: Provider
    validate: Callable[[dict[str, Any]], dict[str, Any]]
    """Parameters in, parameters with defaults out; raises Unprocessable (`invalid_params`) with `faults`."""
    build: Build | None
    """None where the agent runs a function of its own: there is no request."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """What model APIs call the parameters whose names they refuse, to the parameters' own names."""

    @property
    def provider_name(self) -> str:
        """What people call the provider: its connector's name, where it lives inside one."""
        return self.connector.name if self.provider.id == self.connector.id else self.provider.id


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that can be called. `hash` covers its content but client secrets, file names and where it was found."""

    actions: Mapping[str, Operation]
    """By full name, `connector.action`, sorted."""
    providers: Mapping[str, Provider]
    connectors: Mapping[str, Connector]
    hash: str
    public_url: str
    documents: Mapping[str, Document]
    """Per connector the file it comes from: for faults that only others can find."""
    shipped: frozenset[str] = frozenset()
    """The connectors that came with the program: whether they are set up is this deployment's choice."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Tool name to full name, of all actions."""

    def redirect_uri(self, provider: str) -> str:
        """The one redirect URI of a provider, exactly as to be registered there (THREAT_MODEL 6)."""
        return f"{self.public_url}/oauth/callback/{provider}"


def load(
    paths: Sequence[Path],
    clients: Mapping[str, Mapping[str, Any]],
    *,
    public_url: str,
    allow_private: Sequence[str],
    shipped: bool = True,
    kinds: Mapping[str, ProviderKind],
    config: Document | None = None,
) -> Catalog:
    """Load the shipped connectors (unless `shipped` is False) and those below `paths`. Raises Faults.

    `clients`: [providers.X] with secrets resolved. `kinds`: the credential kinds there are, by name. `config`:
    config.toml, so that faults of an override point into it.
    """
    faults: list[Fault] = []
    if config is not None:
        gone = [number for number, path in enumerate(paths) if not path.exists()]
        faults += [config.fault(("connectors", "paths", n), f"{paths[n]}: no such folder of connectors") for n in gone]
        paths = [path for path in paths if path.exists()]
    files = find([shipped_path(), *paths] if shipped else list(paths), faults)
    loader = _Loader(files, clients, allow_private, kinds, config or Document("config.toml", {}), faults)
    made = loader.connectors()
    if faults:
        raise Faults(faults)
    connectors = [each.connector for each in made]
    actions = {operation.action.name: operation for each in made for operation in each.operations}
    return Catalog(
        actions=dict(sorted(actions.items())),
        providers=dict(sorted(loader.providers.items())),
        connectors={connector.id: connector for connector in connectors},
        hash=_hash(connectors, loader.providers),
        public_url=public_url,
        documents={found.id: found.document for found in files.connectors},
        shipped=frozenset(found.id for found in files.connectors if found.entry == shipped_path()),
        tools=tool_names(actions),
    )


def _hash(connectors: Sequence[Connector], providers: Mapping[str, Provider]) -> str:
    plain = {
        "connectors": [
            {**msgspec.to_builtins(connector), "provider": connector.provider.id} for connector in connectors
        ],
        "providers": [public(provider) for _, provider in sorted(providers.items())],
    }
    return sha256_text(canonical(plain))


@dataclass(frozen=True)
class _Made:
    """A connector, and its actions ready to be called."""

    connector: Connector
    operations: tuple[Operation, ...]


def _made(connector: Connector) -> _Made:
    operations = (
        Operation(
            action,
            connector,
            connector.provider,
            Validate(action.params),
            prepare(connector, action) if action.run == "engine" else None,
            tool_params(param.name for param in action.params),
        )
        for action in connector.actions
    )
    return _Made(connector, tuple(operations))


@dataclass(frozen=True)
class _Asked:
    """A shipped connector with the provider that it has here: all that it is made of. No secret is kept here."""

    found: Found[ConnectorTable]
    provider: Provider
    connects: bool

    def __hash__(self) -> int:  # the rest is compared
        return hash(self.found.id)


@lru_cache(maxsize=16)
def _made_once(asked: _Asked) -> _Made:
    """What comes with the program changes with it alone, and most of it is not set up. Raises Faults."""
    faults: list[Fault] = []

    def fault(path: tuple[str | int, ...], message: str) -> None:
        faults.append(asked.found.document.fault(path, message))

    connector = connector_of(asked.found, asked.provider, connects=asked.connects, fault=fault)
    if faults:
        raise Faults(faults)
    return _made(connector)


class _Loader:
    """Builds providers, then connectors, telling `faults` of everything on the way."""

    def __init__(
        self,
        files: Files,
        clients: Mapping[str, Mapping[str, Any]],
        allow_private: Sequence[str],
        kinds: Mapping[str, ProviderKind],
        config: Document,
        faults: list[Fault],
    ) -> None:
        self._files = files
        self._clients = clients
        self._allow_private = allow_private
        self._kinds = kinds
        self._config = config
        self._faults = faults
        self._shared = {found.id: found for found in files.providers}
        self.providers: dict[str, Provider] = {}

    def connectors(self) -> list[_Made]:
        """All connectors, sorted by id; fills `providers`."""
        for found in self._files.providers:
            self._provider(found.id, found.table, found, (), None)
        made = [self._connector(found) for found in sorted(self._files.connectors, key=lambda found: found.id)]
        known = {*self._shared, *(f.id for f in self._files.connectors if isinstance(f.table.provider, ProviderTable))}
        for name in self._clients:
            if name not in known and name not in self._files.unread:
                fault = self._config.fault(("providers", name), f"unknown provider {name!r}{did_you_mean(name, known)}")
                self._faults.append(fault)
        return [each for each in made if each is not None]

    def _provider(
        self, name: str, table: ProviderTable, found: Found[Any], at: tuple[str, ...], base_url: str | None
    ) -> Provider:
        client = self._clients.get(name, {})
        fields = {**written(table), **client}
        keys = tuple(fields)

        def fault(path: tuple[str, ...], message: str) -> None:
            if path and path[0] in client:
                self._faults.append(self._config.fault(("providers", name, *path), f"providers.{name}.{message}"))
            else:
                self._faults.append(found.document.fault((*at, *path), message))

        if not ID.fullmatch(name):
            fault((), f"{name!r} is no id of a provider: lower-case letters, digits, - and _, at most 48")
        if (file := fields.pop("ca_file", None)) is not None:
            try:
                fields["ca"] = authorities(found.folder / file)
            except ValueError as error:
                fault(("ca_file",), f"ca_file: {error}")
        provider = self.providers[name] = merge(name, fields, base_url)
        kind = self._kinds.get(provider.kind)
        if kind is None:
            fault(("kind",), f"unknown kind {provider.kind!r}{did_you_mean(provider.kind, self._kinds)}")
        else:
            judge(provider, keys, kind, self._allow_private, fault)
        return provider

    def _connector(self, found: Found[ConnectorTable]) -> _Made | None:
        before = len(self._faults)

        def fault(path: tuple[str | int, ...], message: str) -> None:
            self._faults.append(found.document.fault(path, message))

        head_of(found, self._allow_private, fault)
        provider = self._provider_of(found, fault)
        if provider is None or provider.kind not in self._kinds:
            return None
        connects = self._kinds[provider.kind].connects
        if found.entry == shipped_path() and provider.client_secret is None and provider.secret is None:
            try:
                return _made_once(_Asked(found, provider, connects))
            except Faults as wrong:
                self._faults.extend(wrong.faults)
                return None
        connector = connector_of(found, provider, connects=connects, fault=fault)
        return _made(connector) if len(self._faults) == before else None

    def _provider_of(self, found: Found[ConnectorTable], fault: Tell) -> Provider | None:
        """Its own provider, or the shared one it may use (THREAT_MODEL 5: only if that says so, or came with it)."""
        given = found.table.provider
        if given is None and not found.table.calls:
            given = ProviderTable(kind="none")  # functions of agents alone: there is nothing to prove to anybody
        if given is None:
            return None
        if isinstance(given, ProviderTable):
            if found.id in self._shared:
                fault(("provider",), f"a shared provider is called {found.id!r} too: they would share a redirect URI")
            return self._provider(found.id, given, found, ("provider",), found.table.base_url)
        shared = self._shared.get(given)
        if shared is None:
            fault(("provider",), f"unknown provider {given!r}{did_you_mean(given, self._shared)}")
            return None
        listed = self.providers[given].connectors
        if found.id not in listed and (listed or shared.entry != found.entry):
            fault(("provider",), f"the provider {given!r} is not for this connector: its `connectors` does not list it")
        return self.providers[given]
