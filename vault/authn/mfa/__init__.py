"""Second factors: what they are, which logins need one, and where one was shown."""
