"""Who may do what: a policy model, its pure evaluation, and the store of current policies."""
