"""`python -m wherry.rest` prints the JSON Schema of manifests: how `manifest.schema.json` beside this is made."""

import json
import sys

from wherry.rest.manifest import json_schema

sys.stdout.write(json.dumps(json_schema(), indent=1) + "\n")
