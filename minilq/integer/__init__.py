"""A network without floats: fixed point, exact products of bytes, and the engine that runs them."""
