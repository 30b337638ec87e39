"""Verbs that take a generator, or a file of a scene, and make something of its scenes."""
