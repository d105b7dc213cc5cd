"""Statistics of labels and predictions, computed from arrays and returned as arrays and tables."""
