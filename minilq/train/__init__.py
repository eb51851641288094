"""Training: the loop, its history, and checkpoints from which it goes on to the same bits."""
