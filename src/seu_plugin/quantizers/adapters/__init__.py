"""One file a quantizer: which layers it knows, and where their codes and step sizes are."""
