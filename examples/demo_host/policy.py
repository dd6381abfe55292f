"""Mixed-precision policies by architecture: (weight widths, activation widths)."""

#: (-1, ...) stands for the smallest candidate of every layer.
MIN_POLICY = (-1, None, None)

RESNET18_DIGITS_POLICY = (
    [4, 4, 4, 3, 4, 4, 5, 3, 3, 4, 3, 4, 3, 3, 3, 4, 4, 3, 3],
    [4, 5, 4, 4, 5, 4, 5, 4, 4, 5, 4, 5, 4, 4, 5, 5, 5, 4, 5],
)

BITS = {"resnet18_digits": [RESNET18_DIGITS_POLICY]}
