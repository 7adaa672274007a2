"""Wherry source: a deterministic shop that changes over time, for tutorials and tests."""
