"""The report of a GAN."""
