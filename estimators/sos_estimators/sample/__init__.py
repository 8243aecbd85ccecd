"""A sample checked and put into order for an estimator."""
