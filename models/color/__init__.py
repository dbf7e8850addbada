"""From the pixels of a file to upright sRGB: what describes the color, conversion, the range of samples."""
