"""What plugins are written with: derivations, test kits, templates."""
