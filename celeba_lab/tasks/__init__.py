"""The tasks, with one module per task. A task takes the configuration of a run and returns the run's metrics."""
