"""One error shape: every problem has a code, a status of its class and a hint that says what to do."""

from __future__ import annotations

import ast
import re

import pytest

from jit_auth import errors
from tests.project.tree import modules, shown


def subclasses(of: type[errors.Problem]) -> list[type[errors.Problem]]:
    direct = of.__subclasses__()
    return sorted({each for sub in direct for each in (sub, *subclasses(sub))}, key=lambda each: each.__name__)


PROBLEMS = [each for each in subclasses(errors.Problem) if each.__module__.startswith("jit_auth")]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda each: each.__name__)
def test_problem_has_a_code_and_a_client_or_server_status(problem: type[errors.Problem]) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*", problem.code)
    assert 400 <= problem.status < 600
    assert problem.__name__ in str(errors.__doc__)


def test_codes_raised_are_the_documented_ones_and_come_with_hints() -> None:
    classes = {each.__name__: each for each in PROBLEMS}
    wrong = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called not in classes:
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            place = f"{shown(path)}:{node.lineno}: {called}"
            if "hint" not in given and not classes[called].hint and None not in given:
                wrong.append(f"{place} has no hint")
            code = given.get("code")
            if isinstance(code, ast.Constant) and str(code.value) not in str(errors.__doc__):
                wrong.append(f"{place}: code {code.value!r} is not in the tree drawn in errors.py")
    assert wrong == [], "\n" + "\n".join(wrong)
