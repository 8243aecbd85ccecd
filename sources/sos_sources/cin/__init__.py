"""The CIN census: XML returns into record tables."""
