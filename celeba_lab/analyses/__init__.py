"""Numbers about labels and predictions: arrays in, arrays and tables out."""
