"""The web interface: built from `src/` by Vite, served from memory (`site.py`)."""
