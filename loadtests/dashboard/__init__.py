"""A browser before a seeded fleet: what it shows, how soon, and what that costs it."""
