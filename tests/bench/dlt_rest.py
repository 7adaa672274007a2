"""Run by dlt's own interpreter: BASE address of the API, DuckDB file, STATE."""

import sys

import dlt
from dlt.sources.rest_api import rest_api_source

base, path, folder = sys.argv[1:]
source = rest_api_source({
    "client": {"base_url": base, "paginator": {"type": "json_link", "next_url_path": "next"}},
    "resources": [{"name": "items", "endpoint": {"path": "items", "data_selector": "data"}}],
})  # fmt: skip
source.max_table_nesting = 0
pipeline = dlt.pipeline("bench", destination=dlt.destinations.duckdb(path), dataset_name="bench", pipelines_dir=folder)
pipeline.run(source, write_disposition="replace", loader_file_format="parquet")
