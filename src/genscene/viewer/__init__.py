"""The viewer of scenes in a browser: what is drawn, when, and beside training; `page` is what viser shows."""
