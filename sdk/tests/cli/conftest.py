"""Fixtures of the command line's tests."""

from wherry_shop import shop

__all__ = ["shop"]
