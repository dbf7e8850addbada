"""This service beside what people would build without it, in one run, on the same weights and image files."""
