"""Numbers that tell how good something is."""
