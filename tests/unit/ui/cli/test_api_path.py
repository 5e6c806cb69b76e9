from ui.cli.api_path import api_path


def test_a_name_keeps_its_slashes_and_nothing_else() -> None:
    """A name cannot end the path or begin a query."""
    assert api_path("secrets", "secret/a b?c#d") == "/api/v1/secrets/secret/a%20b%3Fc%23d"
    assert api_path("tokens", "abc", "renew") == "/api/v1/tokens/abc/renew"
    assert api_path("users") == "/api/v1/users"
