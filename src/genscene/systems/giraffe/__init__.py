"""GIRAFFE: compositional generative neural feature fields (Niemeyer and Geiger, CVPR 2021)."""
