"""Heads of a model of faces: random identities, expressions, hair and skin, rasterised on the CPU."""
