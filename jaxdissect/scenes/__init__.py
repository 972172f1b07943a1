"""Scenes of a small world, drawn as they are asked for, with every pixel labelled."""
