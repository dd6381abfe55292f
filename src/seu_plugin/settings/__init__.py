"""The section of the YAML: parsed once, frozen afterwards."""
