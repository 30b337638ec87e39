"""CGS-GAN: heads of 3D Gaussians from a transformer of points (Barthel et al. 2025)."""
