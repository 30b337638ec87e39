"""Metrics of what a generator renders from chosen cameras: view consistency, identity, pose accuracy."""
