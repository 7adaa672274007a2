"""Functions as sources: a module with `@wherry.stream` functions is a source, its arguments are the configuration."""
