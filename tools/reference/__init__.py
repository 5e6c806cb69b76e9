"""The pages of docs/reference, written from the code by `python -m tools.reference`."""
