"""`make locust`: one Freehold used by applications, CI jobs and administrators at once."""
