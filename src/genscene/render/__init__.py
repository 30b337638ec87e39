"""From a scene and a view to a picture."""
