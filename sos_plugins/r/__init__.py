"""R in a worker process of its own."""
