"""How experiments are computed: one module for each kind, see `catalog`."""
