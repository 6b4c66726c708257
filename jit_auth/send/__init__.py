"""One attempt of a call, its answer's meaning, and its answer reduced to what an agent may see."""
