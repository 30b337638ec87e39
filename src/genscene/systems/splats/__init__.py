"""Gaussian splatting: Gaussians fitted to photographs with cameras, or read from a file."""
