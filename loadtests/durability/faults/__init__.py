"""What happens to the agent: its death, the machine's, and each system call that fails."""
