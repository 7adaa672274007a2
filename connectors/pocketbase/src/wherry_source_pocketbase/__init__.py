"""Wherry source: PocketBase, the collections of a server."""
