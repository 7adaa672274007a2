"""Tools of the fault tests: children that are killed, places that are read back, a ledger that knows the truth."""
