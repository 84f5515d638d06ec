"""What is wrong with a screen, said before it runs: from names, listings, metadata, a few headers and plate maps."""
