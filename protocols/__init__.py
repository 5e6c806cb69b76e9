"""Everything that crosses a wire, written sans-IO but for one socket file each."""
