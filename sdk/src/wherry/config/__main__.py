"""`python -m wherry.config` prints the JSON Schema of wherry.yaml: how `wherry.schema.json` beside this is made."""

import json
import sys

from wherry.config.content import json_schema

sys.stdout.write(json.dumps(json_schema(), indent=1) + "\n")
