"""Training data: image sets, posed photographs, embedded synthetic sets, and the batches made of them."""
