"""Guesses about an API, from its description or from its answers: where rows are, what their key is, how it pages.

`shape.py` is what both kinds of evidence become; `words.py` knows how APIs call things; `rows.py`, `paging.py` and
`since.py` decide; `writer.py` writes YAML with the reasons behind; `openapi/` reads descriptions and `live/` answers.
"""
