"""Floor 0: pure functions over arrays, knowing nothing of networks or data sets."""
