"""`jit-auth connectors`: what can be called, what to register at a provider, and whether a connector file is sound."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jit_auth.catalog.check import unreadable
from jit_auth.catalog.files import CONNECTOR, PROVIDER
from jit_auth.catalog.formats import describe
from jit_auth.catalog.load import Catalog, load
from jit_auth.cli.configured import settings_of
from jit_auth.cli.options import config_option, config_path, json_option, names_config, print_json, table
from jit_auth.config.load import shown
from jit_auth.config.settings import Settings
from jit_auth.core.toml import did_you_mean
from jit_auth.credentials import KINDS
from jit_auth.errors import Fault, Faults, JitAuthError
from jit_auth.model import Action, Connector

_PUBLIC_URL = "http://127.0.0.1:8080"  # where there is no configuration yet


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`connectors list`, `show ID`, `check PATH`."""
    commands = sub.add_parser("connectors", help="what can be called").add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="all connectors")
    listing.set_defaults(run=run_list)
    show = commands.add_parser("show", help="one connector: redirect URI, scopes, hosts, actions")
    show.add_argument("id", metavar="ID")
    show.set_defaults(run=run_show)
    check = commands.add_parser("check", help="judge a connector's folder, or a folder of them")
    check.add_argument("path", metavar="PATH", type=Path)
    check.set_defaults(run=run_check)
    for parser in (listing, show, check):
        config_option(parser)
        json_option(parser)


def run_list(args: argparse.Namespace) -> int:
    """One line per connector."""
    catalog = _catalog(args)
    if args.json:
        print_json({"items": [_brief(catalog, connector) for connector in catalog.connectors.values()], "next": None})
        return 0
    rows = [
        (brief["id"], brief["name"], f"provider {brief['provider']}", f"{len(brief['actions'])} actions")
        for brief in (_brief(catalog, connector) for connector in catalog.connectors.values())
    ]
    print(table(rows) or "no connectors")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """All that an operator has to know of one. Exit 1 where there is no such connector."""
    catalog = _catalog(args)
    connector = catalog.connectors.get(args.id)
    if connector is None:
        raise JitAuthError(f"no connector {args.id!r}{did_you_mean(args.id, catalog.connectors)}")
    brief = _brief(catalog, connector)
    if args.json:
        actions = [describe(catalog.actions[action.name]) for action in connector.actions]
        print_json({**brief, "actions": actions})
        return 0
    provider = connector.provider
    print(f"{connector.name} ({connector.id})")
    lines = [
        ("docs", connector.docs or "-"),
        ("base URL", connector.base_url or "-"),
        ("provider", f"{provider.id} ({provider.kind})"),
    ]
    kind = KINDS[provider.kind]
    if kind.connects:
        lines += [
            ("redirect URI", brief["redirect_uri"]),
            ("client", provider.client_id or f"none yet: set client_id and client_secret in [providers.{provider.id}]"),
        ]
    elif kind.keys:
        # Secrets are not resolved here: what was written is "".
        lack = [key for key in ("username", "secret") if key in kind.keys and getattr(provider, key) is None]
        told = f"none yet: set {' and '.join(lack)} in [providers.{provider.id}]" if lack else "one for all users"
        lines.append(("credential", told))
    lines.append(("hosts", ", ".join(provider.hosts)))
    print(table([(f"  {name}", value) for name, value in lines]))
    if brief["scopes"]:
        print("\nscopes")
        print(table([(f"  {scope}", provider.scope_titles.get(scope, "")) for scope in brief["scopes"]]))
    print("\nactions")
    rows = [
        (f"  {a.name}", f"risk {a.risk}", a.effect, _made(a), f"exposes {_listed(a.exposes)}", a.title)
        for a in connector.actions
    ]
    print(table(rows))
    return 0


def _made(action: Action) -> str:
    return "run by the agent" if action.run == "agent" else f"retry {action.retry}"


def run_check(args: argparse.Namespace) -> int:
    """Names each fault; exit 1 where there is one."""
    faults, checked = _judged(args)
    if args.json:
        told = [{"file": fault.file, "line": fault.line, "message": fault.message} for fault in faults]
        print_json({"ok": not faults, "connectors": checked, "faults": told})
    elif faults:
        print("\n".join(str(fault) for fault in faults))
    else:
        print(f"ok: {', '.join(checked)}")
    return 1 if faults else 0


def _judged(args: argparse.Namespace) -> tuple[list[Fault], list[str]]:
    path: Path = args.path.parent if args.path.name in (CONNECTOR, PROVIDER) else args.path
    if not path.is_dir():
        raise JitAuthError(f"{path} is no folder")
    settings = _settings(args)
    try:
        catalog = load(
            [path, *_beside(path)],
            {},
            public_url=_PUBLIC_URL,
            allow_private=settings.connectors.allow_private_hosts if settings else (),
            kinds=KINDS,
        )
    except Faults as wrong:
        return [fault for fault in wrong.faults if _below(Path(fault.file), path)], []
    checked = [name for name in catalog.connectors if _below(Path(catalog.documents[name].file), path)]
    if not checked and not (path / PROVIDER).is_file():
        return [Fault(shown(path), 0, "holds no connector")], []
    return [fault for name in checked for fault in unreadable(catalog, name)], checked


def _beside(path: Path) -> list[Path]:
    """The shared providers beside one connector's folder: it may use one of them."""
    if not (path / CONNECTOR).is_file():
        return []
    return sorted(folder.parent for folder in path.absolute().parent.glob(f"*/{PROVIDER}"))


def _below(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _settings(args: argparse.Namespace) -> Settings | None:
    """The settings, without secrets; None where none were named and there are none."""
    if not names_config(args) and not config_path(args).exists():
        return None
    return settings_of(args, secrets=False)


def _catalog(args: argparse.Namespace) -> Catalog:
    settings = _settings(args)
    if settings is None:
        return load([], {}, public_url=_PUBLIC_URL, allow_private=(), kinds=KINDS)
    return load(
        settings.connectors.paths,
        settings.providers,
        public_url=settings.server.public_url,
        allow_private=settings.connectors.allow_private_hosts,
        kinds=KINDS,
        config=settings.document,
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "-"


def _brief(catalog: Catalog, connector: Connector) -> dict[str, Any]:
    provider = connector.provider
    scopes = [s for action in connector.actions for s in (*action.scopes, *action.any_scopes)]
    return {
        "id": connector.id,
        "name": connector.name,
        "docs": connector.docs,
        "base_url": connector.base_url,
        "provider": provider.id,
        "kind": provider.kind,
        "redirect_uri": catalog.redirect_uri(provider.id) if KINDS[provider.kind].connects else None,
        "client_id": provider.client_id,
        "hosts": list(provider.hosts),
        "scopes": list(dict.fromkeys((*provider.base_scopes, *scopes))),
        "actions": [action.name for action in connector.actions],
    }
