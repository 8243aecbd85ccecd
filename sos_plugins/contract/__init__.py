"""What the author of a plugin reads: interfaces, types that travel, columns, settings, hooks."""
