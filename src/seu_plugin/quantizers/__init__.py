"""What a quantized layer is, where its codes are, at which widths."""
