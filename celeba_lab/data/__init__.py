"""Faces and their annotations: from files on disk to validated arrays and uint8 batches. Knows no model."""
