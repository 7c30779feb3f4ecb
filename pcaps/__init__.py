"""Captures in and out: file formats, the frame batch, headers, synthetic traffic."""
