"""Makes docs/img: runs the demo, draws what it prints, and keeps the curve that it draws."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (
    "rfquant-run examples/demo_host/main.py examples/demo_host/configs/eval_digits_campaign.yaml"
)


def main() -> None:
    """Run from anywhere; the demo should have a checkpoint already."""
    results = ROOT / "results" / "digits"
    shutil.rmtree(results, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "rfquant_hooks", *COMMAND.split()[1:]],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=140, file=nowhere)
        console.print(Text(f"$ {COMMAND}", style="bold"))
        console.print(Text(done.stdout.rstrip()))
        # The font is the reader's own: the picture must not load anything.
        form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        svg = console.export_svg(title="seu-plugin", code_format=form, unique_id="demo")
    shutil.copy(results / "ber_curve.png", ROOT / "docs" / "img")
    (ROOT / "docs" / "img" / "demo.svg").write_text(svg + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
