"""A verified identity is made in one place: whoever holds one holds the proof of a finished sign-in."""

from __future__ import annotations

import ast

from tests.project.tree import modules, shown

MAKERS = {"replace", "convert", "decode", "defstruct"}
"""Calls that make a Struct without its name being called."""


def test_an_identity_is_made_by_a_finished_sign_in_alone() -> None:
    made = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            named = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            if called == "Identity" or (called in MAKERS and "Identity" in named):
                made.append(shown(path))
    assert made == ["jit_auth/signin/id_token.py"]
