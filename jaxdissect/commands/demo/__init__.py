"""The demonstration: the experiments of the paper on the built-in scenes, part by part."""
