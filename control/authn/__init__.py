"""Who is asking: passwords, sessions, API tokens, and the accounts behind them."""
