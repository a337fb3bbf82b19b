"""How recordings are opened and decoded, whatever container and codec they have."""
