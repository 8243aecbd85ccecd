"""Rules that rate evidence."""
