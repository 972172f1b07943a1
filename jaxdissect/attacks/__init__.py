"""Adversarial attacks, what they do to units, and defence by deactivated units."""
