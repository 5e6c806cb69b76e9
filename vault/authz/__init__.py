"""Who may do what: a policy model, its pure evaluation, and the book of current policies."""
