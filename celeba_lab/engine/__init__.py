"""Code that builds, runs and extends Lightning's Trainer."""
