"""The command line: the only place that knows all the others and composes them."""
