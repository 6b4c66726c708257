"""A prompt-injected agent, stopped by what its task has touched."""
