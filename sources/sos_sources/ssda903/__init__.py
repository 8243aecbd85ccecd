"""The SSDA903 return: CSV files into record tables."""
