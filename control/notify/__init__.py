"""How messages reach people: rendered, and sent by mail or HTTPS with care. No database here."""
