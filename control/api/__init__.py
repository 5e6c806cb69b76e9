"""The REST API under `/api/v1`: Quart-Trio around endpoints that are declared once."""
