"""Record tables from databases, and the SQL that readers share."""
