"""The convolutional networks that the models see an image through."""
