"""A generator of fields as one of Gaussians: a network that turns any of its scenes into them at once."""
