"""Metrics: pure functions of images and of features, and the networks that compute features."""
