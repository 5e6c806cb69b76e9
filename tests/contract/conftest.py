"""What the contract suites share: one test is run against every implementation."""
