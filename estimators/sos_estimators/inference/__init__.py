"""Standard errors, degrees of freedom and p values of least squares with clusters."""
