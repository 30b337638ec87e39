"""Fields at samples: in parts of rays; all samples, those seen, those that are not in empty space."""
