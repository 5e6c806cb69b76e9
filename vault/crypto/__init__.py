"""Keys and what they protect: one primitive a file, no options.

Everything here but `kek_uses` is pure: no I/O, no clock, no logging. The one impurity is
`random_bytes`, and it lives in `random.py`. Callers never choose a nonce, a key size or an
algorithm; where a choice was made, the file that made it says why it is safe.
"""
