"""Directions in the space of styles, along which scenes are edited."""
