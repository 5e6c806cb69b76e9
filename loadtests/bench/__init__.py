"""`make bench`: Freehold beside OpenBao on one machine in one run, taking turns."""
