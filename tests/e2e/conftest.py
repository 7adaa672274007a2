"""Fixtures of the end-to-end tests."""

from wherry_shop import shop

__all__ = ["shop"]
