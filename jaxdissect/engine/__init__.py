"""Floor 3: how a statistic meets a data set."""
