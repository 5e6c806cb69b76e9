"""Who is who on the link: names, keys and certificates.

Specified in `docs/spec/pki.md`. Nothing here keeps state or knows TLS.
"""
