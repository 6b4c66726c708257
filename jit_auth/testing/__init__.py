"""For tests of agents: a real service in the test's own process, and everybody around it. PYTEST_DONT_REWRITE

`pytest_plugins = ["jit_auth.testing"]` in the root conftest.py gives the fixture `jit_auth`; docs/testing.md tells how
it is used. Nothing of the service imports this package, and no configuration reaches it: it is for tests alone.
"""

from __future__ import annotations

try:
    import pytest  # noqa: F401  (imported here to say what is missing, and how to get it)
except ModuleNotFoundError as fault:
    if fault.name != "pytest":
        raise
    message = "jit_auth.testing needs pytest: pip install 'jit-auth[testing]'."
    raise ModuleNotFoundError(message, name="pytest") from None

from jit_auth.errors import Misused, Problem
from jit_auth.testing.api import Answer, Api, Handler, Sent
from jit_auth.testing.deliveries import Delivery
from jit_auth.testing.fixtures import jit_auth_fixture, jit_auth_setup, pytest_configure, pytest_unconfigure, run
from jit_auth.testing.kit import JitAuth
from jit_auth.testing.setup import Setup

__all__ = [
    "Answer",
    "Api",
    "Delivery",
    "Handler",
    "JitAuth",
    "Misused",
    "Problem",
    "Sent",
    "Setup",
    "jit_auth_fixture",
    "jit_auth_setup",
    "pytest_configure",
    "pytest_unconfigure",
    "run",
]
