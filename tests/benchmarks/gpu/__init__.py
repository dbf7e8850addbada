"""The service on a CUDA device: what it reaches, and what would make it faster, in a given time."""
