"""Where things are: cameras, priors over cameras, trajectories, camera files, rotations, world transforms."""
