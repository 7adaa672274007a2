"""HTTP as sources need it: authentication, budgets a host, retries, limits, pages."""
