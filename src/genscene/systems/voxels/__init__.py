"""Radiance fields on voxel grids, fitted to photographs with cameras in minutes."""
