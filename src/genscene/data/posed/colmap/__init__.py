"""COLMAP's sparse models, binary and text."""
