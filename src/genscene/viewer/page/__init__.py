"""What viser shows: the server, windows, panels, and what is in the scene beside pictures."""
