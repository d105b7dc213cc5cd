"""What can be learnt from the labels alone: arrays in, tables out; no files, no configuration."""
