"""HTTP: agents' API and people's pages. Handlers read what was sent and call the engine; they decide nothing."""
