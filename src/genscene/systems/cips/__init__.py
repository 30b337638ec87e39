"""CIPS: image generators with conditionally-independent pixel synthesis (Anokhin et al., CVPR 2021)."""
