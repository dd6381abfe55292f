"""Which cells are struck, and what is then read: streams, counts, maps, mechanisms, rates."""
