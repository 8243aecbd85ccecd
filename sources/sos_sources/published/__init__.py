"""Published statistics of the Department for Education."""
