"""Extracts of the National Pupil Database: wide CSV files into record tables."""
