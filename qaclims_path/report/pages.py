"""Pages of one file: their content is escaped, and only their own style and script are allowed.

The policy in the head names style and script by their hashes, so that even text that was not escaped could do nothing.
Styles are therefore in sheets, never in attributes.
"""

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qaclims_path.files.numbers import spent
from qaclims_path.language.corpus import printable
from qaclims_path.language.words import whole
from qaclims_path.report.numbers import spaced

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
CODE = re.compile(r"`([^`]+)`")
NARROW = "\u202f"  # the space that does not break a number


def page_html(template: str, *, styles: Sequence[str], scripts: Sequence[str] = (), **values: Any) -> str:  # noqa: ANN401
    """Fill a template.

    Args:
        template: Name of the template; it gets `style`, `script` and `policy` beside the other values.
        styles: Names of the style sheets, in order.
        scripts: Names of the scripts, in order.
        **values: Content of the page.
    """
    from markupsafe import Markup

    style, script = (
        "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in each) for each in (styles, scripts)
    )
    own = {"style": Markup(style), "script": Markup(script), "policy": Markup(policy(style, script))}  # noqa: S704 - our own files
    return _environment().get_template(template).render(**own, **values)


def policy(style: str, script: str) -> str:
    """Write the content security policy of a page: embedded pictures, and only this sheet and this script.

    Examples:
        >>> policy("", "")[:36]
        "default-src 'none'; img-src data:; s"
    """
    allowed = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (style, script)
    ]
    scripts = allowed[1] if script else "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src {allowed[0]}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )


def jpeg_address(pixels: NDArray[np.uint8], side: int, quality: int = 82) -> str:
    """Encode an image (H W 3) as a JPEG of at most `side` pixels in a `data:` address, at full colour resolution."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)  # optimizing fails on noise, which is large
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def hexadecimal(color: Sequence[int]) -> str:
    """Write a colour as in SVG attributes.

    Examples:
        >>> hexadecimal((255, 0, 16))
        '#ff0010'
    """
    return "#" + "".join(f"{int(channel):02x}" for channel in color)


def prose(text: str) -> "Markup":
    """Escape a sentence, and set what stands between backticks, such as a command, as code.

    Examples:
        >>> prose("Run `a < b`.")
        Markup('Run <code>a &lt; b</code>.')
    """
    from markupsafe import Markup, escape

    return Markup(CODE.sub(r"<code>\1</code>", str(escape(printable(text)))))  # noqa: S704 - escaped


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": printable,
        "prose": prose,
        "whole": whole,
        "spaced": partial(spaced, gap=NARROW),
        "spent": spent,
        "hex": hexadecimal,
    }
    return environment
