"""What operations do, one noun a file. Reached through the pipeline only."""
