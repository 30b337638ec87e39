"""Intervals of scores: over resampled images, and over runs from several seeds."""
