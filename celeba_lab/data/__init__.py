"""Faces and their annotations, from files on disk to validated arrays and batches of uint8 images."""
