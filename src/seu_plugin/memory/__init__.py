"""How codes lie in cells, and what guards them."""
