"""The report on a GAN."""
