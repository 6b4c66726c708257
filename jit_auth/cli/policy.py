"""`jit-auth policy`: judge policy files against the connectors, and run the tests that stand in them."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from jit_auth.catalog.load import Catalog
from jit_auth.catalog.load import load as load_catalog
from jit_auth.cli.configured import CHANNEL_TABLES, settings_of
from jit_auth.cli.explain import explained
from jit_auth.cli.options import config_option, config_path, json_option, names_config, print_json
from jit_auth.config.load import policy_texts, shown
from jit_auth.config.settings import Settings
from jit_auth.core.toml import did_you_mean
from jit_auth.credentials import KINDS
from jit_auth.errors import Fault, Faults
from jit_auth.policy.cases import Cover, Ran, Report, needs, run
from jit_auth.policy.rules import Policy, load

_PUBLIC_URL = "http://127.0.0.1:8080"  # where there is no configuration yet


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`policy check FILE...`, `policy test [FILE...]`, `policy explain ACTION.json|EXECUTION_ID`."""
    commands = sub.add_parser("policy", help="judge and test policies").add_subparsers(metavar="COMMAND", required=True)
    check = commands.add_parser("check", help="name each fault of policy files as file:line:column: message")
    check.add_argument("files", metavar="FILE", type=Path, nargs="+")
    check.add_argument(
        "--strict", action="store_true", help="what is doubtful is a fault, as it is for `serve` off loopback"
    )
    check.set_defaults(run=run_check)
    test = commands.add_parser("test", help="run the [[test]]s, and tell which rules they cover")
    test.add_argument("files", metavar="FILE", type=Path, nargs="*", help="default: those of [policies] paths")
    test.add_argument(
        "--min-coverage",
        metavar="N",
        type=_percent,
        default=100.0,
        help="exit 1 where less than N percent of the rules were seen both matching and not (default 100)",
    )
    test.add_argument(
        "--allow-uncovered",
        metavar="RULE",
        nargs="*",
        action="extend",
        help="rules that need not be covered: they are left out of the percentage; none named: all of them",
    )
    test.set_defaults(run=run_test)
    explain = commands.add_parser("explain", help="why a call is decided as it is: every rule, every value")
    explain.add_argument(
        "what", metavar="ACTION.json|EXECUTION_ID", help="a file like a body of /execute, or an execution's id"
    )
    explain.set_defaults(run=run_explain, files=[])
    for parser in (check, test, explain):
        config_option(parser)
        json_option(parser)


def run_check(args: argparse.Namespace) -> int:
    """Faults on stdout, exit 1; else what was found, with doubts on stderr."""
    try:
        policy = _loaded(args, strict=args.strict)[0]
    except Faults as wrong:
        return _told(args, wrong.faults)
    if args.json:
        print_json({"ok": True, "rules": len(policy.rules), "tests": len(policy.cases), "policy": policy.hash,
                    "faults": [], "warnings": [_place(one) for one in policy.doubts]})  # fmt: skip
    else:
        for doubt in policy.doubts:
            print(f"warning: {doubt}", file=sys.stderr)
        print(f"ok: {len(policy.rules)} rules, {len(policy.cases)} tests")
    return 0


def run_test(args: argparse.Namespace) -> int:
    """Exit 1 where a file is faulty, a test fails, or too few rules are covered."""
    try:
        uncovered = _files_apart(args)
        policy = _policy(args)
        report = run(policy, _let_off(uncovered, policy))
    except Faults as wrong:
        return _told(args, wrong.faults)
    enough = report.coverage >= args.min_coverage
    fine = enough and not report.failed
    if args.json:
        print_json(_data(report, fine, args.min_coverage))
        return 0 if fine else 1
    for ran in report.ran:
        print(_line(ran))
        for sentence in ran.wrong:
            print(f"      {sentence}")
    for cover in report.cover:
        if not cover.whole and not cover.let_off:
            print(f"{cover.file}:{cover.line}: rule {cover.rule} was never seen {_unseen(cover)}")
    passed = len(report.ran) - report.failed
    let_off = sum(1 for cover in report.cover if cover.let_off)
    aside = f", {let_off} left out" if let_off else ""
    counted = len(report.cover) - let_off
    print(f"{passed} passed, {report.failed} failed, {math.floor(report.coverage)} % of {counted} rules covered{aside}")
    if not enough:
        print(f"coverage is below {args.min_coverage:g} %")
    return 0 if fine else 1


def run_explain(args: argparse.Namespace) -> int:
    """Exit 1 where the call or a file is faulty; what is decided is no matter of the exit code."""
    try:
        policy, catalog, settings = _loaded(args)
        return explained(args, policy, catalog, settings)
    except Faults as wrong:
        return _told(args, wrong.faults)


def _files_apart(args: argparse.Namespace) -> list[str] | None:
    """What `--allow-uncovered` names; None: it is not there. A policy file behind it is one of FILE."""
    named: list[str] | None = args.allow_uncovered
    if named is None:
        return None
    args.files = [*args.files, *(Path(name) for name in named if name.endswith(".toml"))]
    return [name for name in named if not name.endswith(".toml")]


def _let_off(names: list[str] | None, policy: Policy) -> frozenset[str]:
    """The rules that need not be covered. Raises Faults where there is no such rule: it would hide nothing."""
    known = frozenset(rule.id for rule in policy.rules)
    if names is None:
        return frozenset()
    if not names:
        return known
    wrong = [
        Fault("--allow-uncovered", 0, f"no rule {name!r}{did_you_mean(name, known)}")
        for name in names
        if name not in known
    ]
    if wrong:
        raise Faults(wrong)
    return frozenset(names)


def _line(ran: Ran) -> str:
    return f"FAIL  {ran.case.file}:{ran.case.line}: {ran.case.name}" if ran.wrong else f"ok    {ran.case.name}"


def _unseen(cover: Cover) -> str:
    if not cover.matched and not cover.unmatched:
        return "at all"
    return "not matching" if cover.matched else "matching"


def _data(report: Report, fine: bool, least: float) -> dict[str, Any]:
    return {
        "ok": fine,
        "passed": len(report.ran) - report.failed,
        "failed": report.failed,
        "tests": [
            {
                "name": ran.case.name,
                "file": ran.case.file,
                "line": ran.case.line,
                "ok": not ran.wrong,
                "wrong": list(ran.wrong),
                "decision": {
                    "effect": ran.decision.effect,
                    "rules": list(ran.decision.rules),
                    "need": needs(ran.decision),
                    "errors": list(ran.decision.errors),
                },
            }
            for ran in report.ran
        ],
        "coverage": {
            "percent": report.coverage,
            "min": least,
            "rules": [
                {"id": cover.rule, "file": cover.file, "line": cover.line, "matched": cover.matched,
                 "unmatched": cover.unmatched, "covered": cover.whole, "let_off": cover.let_off}
                for cover in report.cover
            ],
        },
        "faults": [],
    }  # fmt: skip


def _told(args: argparse.Namespace, faults: tuple[Fault, ...]) -> int:
    if args.json:
        print_json({
            "ok": False,
            "faults": [_place(one) for one in faults],
        })  # fmt: skip
    else:
        print("\n".join(str(fault) for fault in faults))
    return 1


def _place(fault: Fault) -> dict[str, Any]:
    return {"file": fault.file, "line": fault.line, "column": fault.column, "message": fault.message}


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 100.0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 100")
    return value


def _policy(args: argparse.Namespace) -> Policy:
    return _loaded(args)[0]


def _loaded(args: argparse.Namespace, *, strict: bool = False) -> tuple[Policy, Catalog, Settings | None]:
    """The policy that the files make, typed by the connectors of the configuration (else by the shipped ones)."""
    settings = None
    if names_config(args) or config_path(args).exists() or not args.files:
        settings = settings_of(args, secrets=False)
    catalog = load_catalog(
        settings.connectors.paths if settings else [],
        settings.providers if settings else {},
        public_url=settings.server.public_url if settings else _PUBLIC_URL,
        allow_private=settings.connectors.allow_private_hosts if settings else (),
        kinds=KINDS,
        config=settings.document if settings else None,
    )
    actions = {name: operation.action for name, operation in catalog.actions.items()}
    people = settings.people if settings else None
    policy = load(
        _texts(args.files, settings),
        actions,
        people.ids if people else (),
        vias=settings.vias if settings else (*CHANNEL_TABLES, "page"),
        groups=people.groups if people else {},
        aliases=people.names if people else {},
        strict=strict,
    )
    return policy, catalog, settings


def _texts(files: list[Path], settings: Settings | None) -> list[tuple[str, str]]:
    if settings is not None and not files:
        return policy_texts(settings)
    texts: list[tuple[str, str]] = []
    faults: list[Fault] = []
    for path in files:
        try:
            texts.append((shown(path), path.read_bytes().decode("utf-8")))
        except OSError as error:
            faults.append(Fault(shown(path), 0, f"cannot be read: {error.strerror}"))
        except UnicodeDecodeError:
            faults.append(Fault(shown(path), 0, "is not UTF-8"))
    if faults:
        raise Faults(faults)
    return texts
