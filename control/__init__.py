"""The control plane: who the agents are, what they are to do, what they tell. No secret."""
