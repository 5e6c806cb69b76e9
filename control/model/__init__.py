"""What the control plane knows: frozen values, no behaviour but their own consistency."""
