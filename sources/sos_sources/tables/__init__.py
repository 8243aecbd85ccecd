"""A user's own tables: cases in one file, or record tables."""
