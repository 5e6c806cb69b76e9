"""Load: the side-by-side benchmark against OpenBao."""
