"""The pages for people over HTTP, with an engine of one call behind them."""
