"""From an experiment to a generator."""
