"""Loading and validation of CelebA's images and annotations."""
