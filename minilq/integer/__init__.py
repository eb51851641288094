"""Real integers: what the codes weigh when they are stored as such."""
