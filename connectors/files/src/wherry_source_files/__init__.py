"""Local files as a source: CSV, TSV, JSON, JSON lines, Parquet and Arrow."""
