"""What a results folder says of itself: how far it is, whether it is sound, how it was made, how two differ."""
