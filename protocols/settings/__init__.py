"""Settings files: strict YAML with the environment over it, the same for every process of ours."""
