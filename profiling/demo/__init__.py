"""The simulator of the demo screen: images that look like a real screen, and their truth."""

from profiling.demo.simulate import simulate

__all__ = ["simulate"]
