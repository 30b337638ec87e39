"""Pictures as functions of the plane: SIREN, Fourier features, hash grids, fitted to one picture."""
