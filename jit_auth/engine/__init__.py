"""The engine: an execution from admission to its end. `Engine` is its face to agents, people, operators and timers."""

from jit_auth.engine.face import Engine

__all__ = ["Engine"]
