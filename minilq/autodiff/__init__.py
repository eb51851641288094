"""A tape that records a NumPy program, and walks back over it."""
