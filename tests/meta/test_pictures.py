"""The drawings of the documents can be read on a light and on a dark page."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.meta.colours import contrast, luminance
from tests.meta.project import ROOT

# Of each drawing the classes that are a ground for text, and those that are text besides `text`.
DRAWINGS = {
    "update_ops.svg": ("page box layer update variable", "name missing-text"),
    "speed.svg": ("panel", ""),
}


def fills(css: str) -> dict[str, str]:
    """Return the colours by the class or the tag that they fill."""
    found = {}
    for names, colour in re.findall(r"([^{}]+)\{ fill: (#[0-9a-f]{6}); \}", css):
        found.update({name.strip(" .\n"): colour for name in names.split(",")})
    return found


def test_contrast_is_known() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_text_can_be_read_in_light_and_dark(name: str) -> None:
    drawing = (ROOT / "migration_guide" / name).read_text(encoding="utf-8")
    (css,) = re.findall(r"<style>(.*?)</style>", drawing, re.DOTALL)
    light, dark = css.split("@media (prefers-color-scheme: dark) {")
    grounds, texts = (words.split() for words in DRAWINGS[name])
    for colours in (fills(light), fills(dark)):
        for text, ground in itertools.product(["text", *texts], grounds):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert luminance(fills(light)[grounds[0]]) > 0.9 and luminance(fills(dark)[grounds[0]]) < 0.1
    # Nothing has a colour that the scheme does not change.
    assert re.findall(r'(?:fill|stroke)="#', drawing) == []
