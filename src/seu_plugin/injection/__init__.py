"""Upsets in a live model, and the model given back as it was."""
