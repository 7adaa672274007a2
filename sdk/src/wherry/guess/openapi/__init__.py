"""A manifest from the description of an API: OpenAPI 2.0 (Swagger), 3.0 and 3.1, as JSON or YAML.

Nothing is fetched. `document.py` reads, `operations.py` brings the versions into one form, `shapes.py` understands
JSON Schema, `auth.py`, `address.py`, `streams.py` and `parents.py` decide, `manifest.py` puts it together.
"""

from wherry.guess.openapi.manifest import Made, from_file, from_text

__all__ = ["Made", "from_file", "from_text"]
