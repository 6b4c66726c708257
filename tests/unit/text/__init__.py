"""Foreign text made visible, and what people read of parameters."""
