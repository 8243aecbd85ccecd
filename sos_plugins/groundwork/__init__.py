"""What the classes of the contract work with, and the author of a plugin need not read."""
