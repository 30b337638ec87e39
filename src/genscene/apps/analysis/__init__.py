"""What a generator has learned, as pictures and numbers."""
