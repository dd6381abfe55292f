"""MobileNetV2: depthwise layers with widths of their own, activations with remapped codes."""

import re

LAYERS = 51


def evaluate(host, weights, check=True, **settings):
    widths = host.json("mobilenetv2", weights, [6] * LAYERS)
    section = {"ber": 1e-3, "seed": 42, "bit_width_config": {"path": str(widths)}, **settings}
    config = host.yaml("mobilenetv2", section)
    return host.run("mobilenetv2", config, check=check)


def test_it_is_evaluated_under_upsets(host):
    weights = [3 + i % 4 for i in range(LAYERS)]
    output = evaluate(host, weights).stdout
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines()]
    sites = {row[0]: row for row in rows if len(row) == 7 and row[1].isdigit()}
    fixed = {"features.0.0", "classifier.1"}
    assert [int(row[1]) for name, row in sites.items() if name not in fixed] == weights
    (total,) = [row for row in rows if row[:1] == ["all"]]
    bits, upsets = (int(total[i].replace(",", "")) for i in (3, 4))
    assert abs(upsets - bits * 1e-3) < 5 * (bits * 1e-3) ** 0.5
    assert re.search(r"faulted accuracy: [\d.]+ %", output)


def test_remapped_activations_are_upset(host):
    """Signed codes where the host remaps them, unsigned ones elsewhere."""
    output = evaluate(host, [6] * LAYERS, targets=["activations"]).stdout
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines()]
    (total,) = [row for row in rows if row[:1] == ["all"]]
    bits, upsets = (int(total[i].replace(",", "")) for i in (3, 4))
    assert bits > 0 and abs(upsets - bits * 1e-3) < 5 * (bits * 1e-3) ** 0.5
    # The classifier's input as well; that of the first layer stays float32 and has no width.
    assert sum(len(row) == 7 and row[1].isdigit() for row in rows) == LAYERS + 1


def test_two_bits_on_a_depthwise_layer_are_refused(host):
    done = evaluate(host, [2] * LAYERS, check=False)
    assert done.returncode == 2
    assert "weight_bits[0] is 2, which 'features.1.conv.0' does not offer" in done.stderr
    assert "Traceback" not in done.stderr
