"""Which units see shapes, and which see textures."""
