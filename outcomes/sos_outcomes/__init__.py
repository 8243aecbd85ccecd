"""The outcomes that come with sos-plugins: one module an outcome."""
