"""The plugin at work inside a host: what happens in each phase, and campaigns over ``validate``."""
