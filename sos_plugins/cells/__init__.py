"""Cases added up: the exact sufficient statistics that estimators need."""
