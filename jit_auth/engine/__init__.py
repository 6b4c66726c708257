"""The engine: an execution from admission to its end. `face.Engine` is what agents, people and timers meet."""
