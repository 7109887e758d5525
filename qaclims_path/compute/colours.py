"""Colours of classes; the first seven can be told apart by colour-blind readers."""

import colorsys

Color = tuple[int, int, int]


# Okabe and Ito's colours; black and white are kept for background and ignored pixels. Reddish purple, the colour of
# the stain itself, comes last.
SAFE: tuple[Color, ...] = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (230, 159, 0),
    (86, 180, 233),
    (240, 228, 66),
    (204, 121, 167),
)


GOLDEN = 0.618034  # step of the hue, the golden ratio: no hue comes twice


def color_of(index: int) -> Color:
    """Return the colour of the class at an index: colour-blind safe for the first seven, only different after that."""
    if index < len(SAFE):
        return SAFE[index]
    red, green, blue = colorsys.hsv_to_rgb(index * GOLDEN % 1, 0.45 + 0.4 * (index % 2), 0.85 - 0.3 * (index % 3 == 0))
    return round(255 * red), round(255 * green), round(255 * blue)
