"""What a release is made of: wheel, binary, packages; their bills of materials and signatures.

`make wheel`, `make binary`, `make packages` write them to `dist/`; `make packages-check` installs
them. docs/decisions/49-installation.md says what is built from what.
"""
