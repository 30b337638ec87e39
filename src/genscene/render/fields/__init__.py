"""Fields at samples: all of them, those that are seen, those that are not in empty space."""
