"""The agent's nouns: pure, frozen values that every layer shares."""
