"""Synthetic faces with CelebA's attributes. The labels are sampled from a fitted model."""
