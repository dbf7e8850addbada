"""What is measured of a picture, or of a pair, without a network."""
