"""Gaussians as compressed files, and as a page that shows them."""
