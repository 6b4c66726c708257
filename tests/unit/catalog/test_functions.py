"""Actions that the agent runs itself: what they need, and what means nothing to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from jit_auth.catalog.load import Catalog
from jit_auth.core.digest import digest
from jit_auth.errors import Faults, Unprocessable
from tests.unit.catalog.kit import ACTION, HEAD, PROVIDER, load_from, write

RESTART = """
[actions.restart]
title = "Restart a service"
summary = "Restart {service}"
run = "agent"
risk = "high"
effect = "update"
params.service = { type = "string", minLength = 1, required = true }
params.times = { type = "integer", default = 1 }
"""


def faults_of(load: Callable[[], object]) -> list[str]:
    with pytest.raises(Faults) as wrong:
        load()
    return [f"{fault.line}: {fault.message}" for fault in wrong.value.faults]


def ops(folder: Path, text: str = RESTART, head: str = "") -> Catalog:
    write(folder, head + text, "ops")
    return load_from(folder)


def test_a_connector_of_functions_alone_needs_no_address_and_no_provider(tmp_path: Path) -> None:
    catalog = ops(tmp_path)
    operation = catalog.actions["ops.restart"]
    action = operation.action
    assert operation.build is None
    assert (action.run, action.claim_timeout, action.retry, action.method, action.path) == (
        "agent", 600_000, "never", "", "",
    )  # fmt: skip
    assert (operation.provider.kind, operation.provider.id, operation.provider.hosts) == ("none", "ops", ())
    assert operation.provider_name == "ops"
    assert [param.where for param in action.params] == ["body", "body"]


def test_parameters_are_judged_like_all(tmp_path: Path) -> None:
    operation = ops(tmp_path).actions["ops.restart"]
    assert operation.validate({"service": "web"}) == {"service": "web", "times": 1}
    for wrong in ({}, {"service": ""}, {"service": "web", "more": 1}, {"service": 1}):
        with pytest.raises(Unprocessable):
            operation.validate(wrong)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("risk", 'method = "POST"\nrisk'), "6: ops.restart: method: means nothing with run = \"agent\""),
        (("risk", 'path = "/x"\nrisk'), "6: ops.restart: path: means nothing"),
        (("risk", "scopes = []\nrisk"), "6: ops.restart: scopes: means nothing"),
        (("risk", "any_scopes = ['a']\nrisk"), "6: ops.restart: any_scopes: means nothing"),
        (("risk", "retry = 'never'\nrisk"), "6: ops.restart: retry: means nothing"),
        (("risk", "timeout = '30s'\nrisk"), "6: ops.restart: timeout: means nothing"),
        (("risk", "expose_headers = []\nrisk"), "6: ops.restart: expose_headers: means nothing"),
        (("risk", "secret_fields = []\nrisk"), "6: ops.restart: secret_fields: means nothing"),
        (("risk", "unauthorized_is_unexecuted = false\nrisk"), "6: ops.restart: unauthorized_is_unexecuted: means"),
        (("risk", "body = 'json'\nrisk"), "6: ops.restart: body: means nothing"),
        (("risk", "claim_timeout = '0s'\nrisk"), "6: ops.restart: claim_timeout: expected a duration"),
        (("risk", "claim_timeout = '500ms'\nrisk"), "6: ops.restart: claim_timeout: expected a duration"),
        (("risk", "claim_timeout = '25h'\nrisk"), "6: ops.restart: claim_timeout: expected a duration"),
        (("type = \"integer\"", 'in = "query", type = "integer"'), "9: ops.restart: parameter 'times': in: means"),
        (("{service}", "{servise}"), "4: ops.restart: summary: no parameter 'servise'"),
        (('title = "Restart a service"\n', ""), "2: missing key 'title' in [actions.restart]"),
        (('effect = "update"\n', ""), "2: missing key 'effect' in [actions.restart]"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_a_fault_with_its_line(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    found = faults_of(lambda: ops(tmp_path, RESTART.replace(*change, 1)))
    assert [text for text in found if text.startswith(told)], found


@pytest.mark.parametrize("within", ["1s", "10m", "1d"])
def test_claim_timeout(tmp_path: Path, within: str) -> None:
    action = ops(tmp_path, RESTART.replace("risk", f'claim_timeout = "{within}"\nrisk')).actions["ops.restart"].action
    assert action.claim_timeout == {"1s": 1000, "10m": 600_000, "1d": 86_400_000}[within]


def test_a_connector_may_hold_both(tmp_path: Path) -> None:
    write(tmp_path, HEAD + PROVIDER + ACTION + RESTART)
    catalog = load_from(tmp_path)
    assert catalog.actions["mailhub.restart"].build is None
    assert catalog.actions["mailhub.restart"].action.scopes == ()
    assert catalog.actions["mailhub.send"].build is not None


@pytest.mark.parametrize(("left_out", "told"), [(HEAD, "missing key 'base_url'"), (PROVIDER, "missing key 'provider'")])
def test_calls_need_an_address_and_a_provider(tmp_path: Path, left_out: str, told: str) -> None:
    write(tmp_path, (HEAD + PROVIDER + ACTION + RESTART).replace(left_out, ""))
    found = faults_of(lambda: load_from(tmp_path))
    assert any(told in text for text in found), found


def test_the_digest_of_a_function_has_neither_request_nor_places() -> None:
    told = {
        "action": "ops.restart", "provider": "ops", "params": {"service": "web"}, "user": None, "verified": False,
        "chain": ("bot",), "account": None, "request": None, "places": None, "execution_id": "exe_1",
    }  # fmt: skip
    one = digest(**told)  # type: ignore[arg-type]  # by name
    # SHA-256 over the RFC 8785 form, written out by hand.
    text = (
        '{"account":null,"action":"ops.restart","chain":["bot"],"format":1,"params":{"service":"web"},"places":null,'
        '"provider":"ops","request":null,"user":null,"verified":false}'
    )
    assert one == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    for change in ({"params": {"service": "db"}}, {"chain": ("other",)}, {"user": "a@example.com"}, {"verified": True}):
        assert digest(**{**told, **change}) != one  # type: ignore[arg-type]  # by name
