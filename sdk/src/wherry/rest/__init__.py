"""Sources that read REST APIs, described by one vocabulary: in YAML, in a class, or used from a function."""
