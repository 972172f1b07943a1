"""Floor 1: statistics as commutative monoids — ``init``, ``update``, ``merge``, ``finalize``."""
