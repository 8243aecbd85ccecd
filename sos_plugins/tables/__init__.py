"""Users' own tables and files: opened, read, counted, with errors that name line and column."""
