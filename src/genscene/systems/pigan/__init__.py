"""pi-GAN (Chan et al. 2021): periodic implicit generative adversarial networks."""
