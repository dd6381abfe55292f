"""``seu schema``: the JSON Schema of the section."""

from __future__ import annotations

import json

import click


@click.command(short_help="Print the JSON Schema of the section.")
def schema() -> None:
    """Print the JSON Schema of the section, for editors that complete YAML from it."""
    from ..settings.section import SECTION, FaultInjectionSection

    inner = FaultInjectionSection.model_json_schema()
    definitions = inner.pop("$defs", {})
    del inner["required"]  # ber, or what stands for it (rate, campaign, ...): seu check tells
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {SECTION: inner},
        "$defs": definitions,
    }
    click.echo(json.dumps(document, indent=2))
