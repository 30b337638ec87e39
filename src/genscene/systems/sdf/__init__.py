"""Signed distance functions fitted to a mesh (SIREN, sec. 4.2): an implicit surface beside volumes."""
