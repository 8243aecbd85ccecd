"""Least squares and logit, and the engines that fit them."""
