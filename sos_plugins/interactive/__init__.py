"""What is used from Python, at a prompt or in a notebook."""
