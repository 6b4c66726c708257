"""Nonces and ids: handed out once each, whoever takes them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from jit_auth.vault import Entropy


def test_no_two_takers_get_the_same() -> None:
    entropy = Entropy(12)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: entropy.take(), range(20_000)))
    assert len(set(taken)) == 20_000
    assert {len(each) for each in taken} == {12}


FORK = """
import os
from jit_auth.vault import Entropy
entropy = Entropy(12)
entropy.take()
child = os.fork()
drawn = [entropy.take().hex() for _ in range(300)]
os.write(1, (" ".join(drawn) + "\\n").encode())
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_process_draws_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    one, two = (set(line.split()) for line in done.stdout.splitlines())
    assert len(one) == len(two) == 300
    assert one.isdisjoint(two)
