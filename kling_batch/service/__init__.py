"""The Kling API, old design: the only place that knows its wire format, its codes and its tokens."""
