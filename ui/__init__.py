"""What a person sees: the command line, and later the dashboard."""
