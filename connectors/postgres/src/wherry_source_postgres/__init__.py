"""Wherry source: PostgreSQL tables and views."""
