"""Synthetic faces with CelebA's attributes: labels are sampled from a fitted model, portraits are drawn."""
