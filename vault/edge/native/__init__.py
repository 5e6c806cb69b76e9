"""The native REST API under `/api/v1`: one file a resource, described by its own OpenAPI."""
