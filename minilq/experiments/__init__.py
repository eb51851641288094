"""The thesis' models and experiments."""
