"""Statistical analyses of labels and predictions. Most functions take arrays and return arrays or tables."""
