"""Inversion: latents, cameras and weights from pictures, and files of them."""
