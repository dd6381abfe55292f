"""Configuration: template.yaml, then each file of the command line over it."""

import argparse
from pathlib import Path

import yaml


class Config(dict):
    """A dict whose keys are attributes as well."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        self[name] = value


def _config(value):
    if isinstance(value, dict):
        return Config({k: _config(v) for k, v in value.items()})
    return value


def merge(base, other):
    new = dict(base)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        new[key] = merge(base[key], value) if both else value
    return new


def get_config(default_file):
    """Parse the command line and read the files that it names."""
    parser = argparse.ArgumentParser(description="A miniature mixed-precision host")
    parser.add_argument("config_file", metavar="PATH", nargs="+", help="YAML file")
    parser.add_argument("--local_rank", default=0, type=int)
    args = parser.parse_args()
    merged = {}
    for file in [default_file, *args.config_file]:
        if not Path(file).is_file():
            raise FileNotFoundError(f"configuration file not found: {file}")
        merged = merge(merged, yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {})
    configs = _config(merged)
    configs.local_rank = args.local_rank
    return configs
