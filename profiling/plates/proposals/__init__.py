"""A first configuration for a folder of plates, from what its names and metadata tell."""
