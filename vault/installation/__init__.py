"""Sets up an agent on a machine (`first_run`), and finds what is wrong with one (`doctor`)."""
