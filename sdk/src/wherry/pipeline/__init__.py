"""Moving rows: selections, plans, lanes and loads. Start reading at `run.py`."""
