"""What can be learnt from labels and features: arrays and scikit-learn's estimators in, arrays and tables out."""
