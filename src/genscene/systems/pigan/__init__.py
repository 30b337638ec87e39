"""pi-GAN (Chan et al., CVPR 2021): periodic implicit generative adversarial networks for 3D-aware image
synthesis.
"""
