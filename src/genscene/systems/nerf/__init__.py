"""NeRF (Mildenhall et al. 2020): photographs with cameras in, a field to fly through out."""
