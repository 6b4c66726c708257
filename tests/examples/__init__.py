"""Tests of what a reader would copy: the toy provider, its mail API, the agent, the demo."""
