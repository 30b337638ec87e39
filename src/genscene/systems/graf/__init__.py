"""GRAF: generative radiance fields, trained on patches (Schwarz et al., NeurIPS 2020)."""
