"""Measurements. Each prints ratios to something bare, measured in the same run: machines differ, ratios less so."""
