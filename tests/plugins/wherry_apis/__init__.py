"""Local servers that behave as well-known APIs do, for tests of their connectors; each keeps a log of its requests.

One module an API, after its public documentation; the values are ours. `server` is what they stand on, `paging` how
they page, `syncs` how tests run a connector against one.
"""
