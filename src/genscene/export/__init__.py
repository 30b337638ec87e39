"""Scenes and pictures as files for other programs."""
