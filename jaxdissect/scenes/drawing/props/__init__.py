"""Objects of the small world, each a table of pieces; see `world.Prop`."""
