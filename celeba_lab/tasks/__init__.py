"""Floor 3: one file, one verb. A task takes the configuration and returns its metrics."""
