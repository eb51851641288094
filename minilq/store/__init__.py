"""A network as a file, and a file as a network: model files, and those of other programs."""
