"""Networks whose tokens are points of space, and Gaussians that hang on these (CGS-GAN; GSGAN)."""
