"""Statistics of labels and predictions: arrays in, arrays and tables out."""
