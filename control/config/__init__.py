"""The control plane's settings: read once where the process starts, then handed down."""
