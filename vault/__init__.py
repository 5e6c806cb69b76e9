"""The vault agent: stores, serves, authorizes and audits secrets on the ground of their owner."""
