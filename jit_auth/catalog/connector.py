"""One connector, made of its file and of the provider that it has here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from jit_auth.catalog.action import action_of
from jit_auth.catalog.files import Found
from jit_auth.catalog.hosts import url_fault
from jit_auth.catalog.provider import ID
from jit_auth.catalog.tables import ConnectorTable
from jit_auth.core.target import TEMPLATE, base_of, path_of
from jit_auth.model import Action, Connector, Provider

ACCOUNT_FIELDS = frozenset({"id", "name"})
"""What is known of a connected account, and so may stand in a base URL as `{account.FIELD}`."""

Tell = Callable[[tuple[str | int, ...], str], None]
"""Told of each fault: where in the file, and what."""


def head_of(found: Found[ConnectorTable], allow_private: Sequence[str], fault: Tell) -> None:
    """Judge what a connector's file says before its provider is known."""
    table = found.table
    if table.id is not None and table.id != found.id:
        fault(("id",), f"id {table.id!r} differs from the folder's name {found.id!r}")
    if not ID.fullmatch(found.id):
        fault(("id",), f"{found.id!r} is no id of a connector: lower-case letters, digits, - and _, at most 48")
    for key, given in (("base_url", table.base_url), ("provider", table.provider)):
        if given is None and table.calls:
            fault((), f"missing key {key!r}")
    if table.base_url is not None and (why := url_fault(TEMPLATE.sub("x", table.base_url), allow_private)):
        fault(("base_url",), f"base_url: {why}")


def connector_of(found: Found[ConnectorTable], provider: Provider, *, connects: bool, fault: Tell) -> Connector:
    """The connector with its actions; of use where no `fault` was told. `connects`: accounts are connected."""
    table = found.table
    connector = Connector(
        id=found.id,
        name=table.name or found.id,
        provider=provider,
        actions=(),
        docs=table.docs,
        base_url=table.base_url,
    )
    try:
        fields = base_of(connector)[1] if table.base_url is not None else frozenset()
    except ValueError as error:
        fault(("base_url",), str(error))
    else:
        if unknown := sorted(fields - ACCOUNT_FIELDS):
            fault(("base_url",), f"base_url: an account has no field {unknown[0]!r}, only id and name")
        elif fields and not connects:
            fault(("base_url",), f"base_url: with a provider of kind {provider.kind} there are no accounts")
    made: list[Action] = []
    for name, action_table in table.actions.items():
        at = ("actions", name)
        keys = found.document.data["actions"][name]
        action = action_of(found.id, name, action_table, keys, provider, connects, _below(fault, at))
        if action is None:
            continue
        if action.run == "agent":
            made.append(action)
            continue
        try:
            path_of(action.path, {param.name for param in action.params if param.where == "path"})
        except ValueError as error:
            fault((*at, "path"), f"{action.name}: {error}")
        made.append(action)
    if not table.actions:
        fault(("actions",), "a connector has at least one action")
    return msgspec.structs.replace(connector, actions=tuple(made))


def _below(fault: Tell, at: tuple[str, ...]) -> Tell:
    """Tells `fault` of paths below `at`."""

    def tell(path: tuple[str | int, ...], message: str) -> None:
        fault((*at, *path), message)

    return tell
