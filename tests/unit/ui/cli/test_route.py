from ui.cli.route import route


def test_a_name_keeps_its_slashes_and_nothing_else() -> None:
    """A name cannot end the path or begin a query."""
    assert route("secrets", "secret/a b?c#d") == "/api/v1/secrets/secret/a%20b%3Fc%23d"
    assert route("tokens", "abc", "renew") == "/api/v1/tokens/abc/renew"
    assert route("users") == "/api/v1/users"
