"""Cases weighted or paired by their covariates."""
