"""Floor 2: things with parameters — the network protocol, its adapters, and models."""
