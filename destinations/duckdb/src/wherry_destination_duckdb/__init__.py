"""The DuckDB destination: tables in a DuckDB database file."""
