"""The tasks, with one module each. A task takes the configuration of a run and returns its metrics."""
