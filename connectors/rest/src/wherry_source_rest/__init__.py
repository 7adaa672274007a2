"""Wherry source: REST APIs that a manifest describes."""
