"""The parent partition's virtual switch."""
