"""Wherry destination: PostgreSQL."""
