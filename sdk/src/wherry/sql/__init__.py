"""SQL destinations: a small composer, and everything that one warehouse shares with the next.

An engine brings a `Dialect` and a `Connection`; state, leases, staging, modes and publishing are here.
"""
