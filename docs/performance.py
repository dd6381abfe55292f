"""Puts the benchmarks' results into the tables of docs/performance.md.

python docs/performance.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Callable, Dict, List

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "benchmarks" / "results"
Row = Dict[str, Any]


def short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def rate(ber: float) -> str:
    return f"{ber:.3g}".replace("e-0", "e-").replace("0.0001", "1e-4").replace("0.001", "1e-3")


def table(header: List[str], rows: List[List[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def injection(rows: List[Row]) -> str:
    header = ["BER", "dense mask, ms", "this project, ms", "of it sampling, ms", "times faster"]
    return table(
        header,
        [
            [
                rate(r["BER"]),
                short(r["dense mask, ms"]),
                f"{r['stream v1, ms']:.2f}",
                f"{r['sampling alone, ms']:.2f}",
                short(r["ratio"]),
            ]
            for r in rows
        ],
    )


def injection_size(rows: List[Row]) -> str:
    return table(
        ["words, millions", "BER", "expected upsets", "ms"],
        [
            [
                f"{r['words, millions']:.1f}",
                rate(r["BER"]),
                short(r["expected upsets"]),
                f"{r['stream v1, ms']:.2f}",
            ]
            for r in rows
        ],
    )


def memory(rows: List[Row]) -> str:
    return table(
        ["BER", "dense mask, MB", "this project, MB"],
        [[rate(r["BER"]), f"{r['dense mask, MB']:.0f}", f"{r['stream v1, MB']:.2f}"] for r in rows],
    )


def ratios(rows: List[Row]) -> str:
    batches = sorted({r["batch"] for r in rows})
    found = {(r["maps"], r["BER"], r["batch"]): f"{r['ratio']:.2f}" for r in rows}
    kinds = list(dict.fromkeys((r["maps"], r["BER"]) for r in rows))
    return table(
        ["maps", "BER", *(f"batch {b}" for b in batches)],
        [
            [
                maps.replace("per_forward", "fresh"),
                rate(ber),
                *(found[maps, ber, b] for b in batches),
            ]
            for maps, ber in kinds
        ],
    )


def campaign(rows: List[Row]) -> str:
    header = ["seed", "clean calls", "clean, s", "campaign, s", "ratio"]
    return table(
        header,
        [
            [
                str(r["seed"]),
                str(r["clean calls"]),
                f"{r['clean, s']:.1f}",
                f"{r['campaign, s']:.1f}",
                f"{r['ratio']:.2f}",
            ]
            for r in rows
        ],
    )


TRIAL = ["all computed, ms", "with reuse, ms", "ratio", "of the sums", "work reused", "masked"]


def one_trial(row: Row) -> List[str]:
    """The columns of a trial's cost; the ratio of the medians, and that of the sums."""
    return [
        short(row["whole, ms"]),
        short(row["reuse, ms"]),
        f"{row['ratio']:.2f}",
        f"{row['ratio of sums']:.2f}",
        *(f"{100 * row[share]:.0f} %" for share in ("share reused", "share masked")),
    ]


def trial_cost(rows: List[Row]) -> str:
    header = ["network", "upsets in the trial", *TRIAL, "kept, MB"]
    return table(
        header,
        [[r["network"], f"{r['upsets']:,}", *one_trial(r), f"{r['kept, MB']:.0f}"] for r in rows],
    )


def trial_cost_memory(rows: List[Row]) -> str:
    header = ["network", "MB an image", "upsets in the trial", *TRIAL, "kept, MB"]
    return table(
        header,
        [
            [
                r["network"],
                str(r["MB an image"]),
                str(r["upsets"]),
                *one_trial(r),
                f"{r['kept, MB']:.0f}",
            ]
            for r in rows
        ],
    )


def trial_cost_layer(rows: List[Row]) -> str:
    header = ["network", "layers", "trials", "all computed, s", "with reuse, s", "ratio"]
    return table(
        [*header, *TRIAL[-2:]],
        [
            [
                r["network"],
                str(r["layers"]),
                str(r["trials"]),
                f"{r['whole, s']:.1f}",
                f"{r['reuse, s']:.1f}",
                f"{r['ratio']:.2f}",
                *(f"{100 * r[share]:.0f} %" for share in ("share reused", "share masked")),
            ]
            for r in rows
        ],
    )


def campaign_reuse(rows: List[Row]) -> str:
    header = ["campaign", "loading, ms an image", "all computed, s", "with reuse, s", "ratio"]
    return table(
        header,
        [
            [
                r["campaign"],
                f"{r['loading, ms an image']:.0f}",
                f"{r['whole, s']:.1f}",
                f"{r['reuse, s']:.1f}",
                f"{r['ratio']:.2f}",
            ]
            for r in rows
        ],
    )


def startup(rows: List[Row]) -> str:
    header = ["start", "first, s", "second, s", "difference, s"]
    columns = ("first, s", "second, s", "difference, s")
    return table(header, [[r["start"], *(f"{r[c]:.2f}" for c in columns)] for r in rows])


TABLES: Dict[str, Callable[[List[Row]], str]] = {
    "injection": injection,
    "injection_size": injection_size,
    "memory": memory,
    "forward": ratios,
    "training": ratios,
    "campaign": campaign,
    "campaign_reuse": campaign_reuse,
    "trial_cost": trial_cost,
    "trial_cost_memory": trial_cost_memory,
    "trial_cost_layer": trial_cost_layer,
    "startup": startup,
}


def page(text: str) -> str:
    """``text`` with the table below each mark ``<!-- name -->`` made anew."""
    for name, make in TABLES.items():
        rows = json.loads((RESULTS / f"{name}.json").read_text())["rows"]
        mark = f"<!-- {name} -->\n"
        new = mark + make(rows)  # has no backslash, so it is its own replacement
        text, found = re.subn(rf"{mark}(\|.*\n)*", new, text)
        if found != 1:
            raise ValueError(f"docs/performance.md has {found} marks {mark.strip()}")
    return text


if __name__ == "__main__":
    path = HERE / "performance.md"
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
