"""Names that tell that what stands under them is a secret."""

from __future__ import annotations

import re

SECRET = re.compile(
    r"(?i)pass(word|wd|phrase)?$|pwd$|token$|secret$|(api|access|secret|private)[-_]?key$|sig(nature)?$|credentials?$"
)
"""To be searched for in the name of a key, a variable, a parameter of a URL."""
HEADER = re.compile(r"(?i)^(proxy-)?authorization$|^(set-)?cookie$")
