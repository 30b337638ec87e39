"""The viewer of scenes in a browser: what is rendered and when; `page` is what viser shows."""
