"""Synthetic controls of staggered adoption: weights on the pool that follow the pilots before."""
