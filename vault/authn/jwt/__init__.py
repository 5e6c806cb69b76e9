"""JSON Web Tokens of other issuers: parsed strictly, verified with pinned keys, claims checked.

`compact` takes a token apart, `keys` are what verifies it, `sources` are where keys come from,
`claims` are the rules for what it says. Nothing here knows what a token is good for.
"""
