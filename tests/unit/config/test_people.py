"""One human is one person, whatever name is used, and no name is two people's."""

from __future__ import annotations

from pathlib import Path

import pytest

from jit_auth.errors import BadRequest
from tests.unit.config.kit import faults, settings

TEXT = """
[people."Ana@Example.com"]
slack = "U1"
groups = ["finance", "all"]
aliases = ["ana.rossi@EXAMPLE.com", "ana"]
[people.bo]
email = "Bo@Example.com"
groups = ["finance"]
[people."cy@bücher.example"]
"""


def test_every_name_leads_to_its_person(tmp_path: Path) -> None:
    people = settings(tmp_path, TEXT).people
    assert people.ids == ("ana@example.com", "bo", "cy@xn--bcher-kva.example")
    for name in ("ana@example.com", "ANA@EXAMPLE.COM", "Ana.Rossi@example.com", "ANA"):
        assert people.person(name) == "ana@example.com"
    assert people.person("BO@example.com") == "bo"
    assert people.person("Stranger@Example.com") == "stranger@example.com"
    assert people.groups == {"all": ("ana@example.com",), "finance": ("ana@example.com", "bo")}
    assert people.emails == {"ana@example.com": "ana@example.com", "bo": "bo@example.com",
                             "cy@xn--bcher-kva.example": "cy@xn--bcher-kva.example"}  # fmt: skip
    assert people.slack == {"ana@example.com": "U1"}
    with pytest.raises(BadRequest):
        people.person("*")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[people.'a@x.example']\n[people.'A@X.example']\n", "4: [people] a@x.example has two entries"),
        ("[people.a]\naliases = ['c']\n[people.b]\naliases = ['C']\n", "6: 'c' belongs to a already"),
        ("[people.a]\n[people.b]\naliases = ['a']\n", "5: 'a' belongs to a already"),
        ("[people.a]\naliases = ['b']\n[people.b]\n", "4: 'b' belongs to b already"),
        ("[people.a]\nemail = 'x@x.example'\n[people.b]\nemail = 'X@x.example'\n", "6: 'x@x.example' belongs to a"),
        ("[people.a]\nemail = 'x@x.example'\n[people.'x@x.example']\n", "4: 'x@x.example' belongs to x@x.example"),
        ("[people.a]\nslack = 'U1'\n[people.b]\nslack = 'U1'\n", "6: 'U1' belongs to a already"),
        ("[people.a]\nemail = 'nobody'\n", "4: 'nobody' is no address"),
        *[(f"[people.a]\nslack = '{name}'\n", f"4: '{name}' is no Slack member id") for name in (
            "@ana", "ana", "u012ana", "C0APPROVALS", "U", "U1 ", "<@U1>", "U1|T1")],
        ("[people.a]\naliases = ['requester']\n", "4: 'requester': This is no id"),
        ("[people.a]\ngroups = ['a b']\n", "4: 'a b' is no name of a group"),
        ("[people.'*']\n", "3: '*': This is no id"),
    ],
)  # fmt: skip
def test_a_name_of_two_people_is_a_fault(tmp_path: Path, text: str, told: str) -> None:
    assert [fault for fault in faults(tmp_path, text) if fault.startswith(told)]
