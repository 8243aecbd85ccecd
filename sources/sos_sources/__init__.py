"""Sources that come with sos-plugins; importing this package loads none of them."""
