"""The contracts between Wherry and its plugins. Authors import from `wherry`; nothing here imports the rest of it."""
