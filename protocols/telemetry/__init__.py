"""What a process tells of itself to others' monitoring: figures and spans, encoded and sent."""
