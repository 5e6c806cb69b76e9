"""Who is who on the link: names, keys, certificates, and the TLS that shows them.

Specified in `docs/spec/pki.md`. Nothing here keeps state, and only `tls_contexts` knows TLS.
"""
